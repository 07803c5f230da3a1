package api

type totpAnswer struct {
	Secret string `json:"secret"`
	URL    string `json:"url"`
}

func enrolTOTP(c *call) (answer, error) {
	p, err := c.proof()
	if err != nil {
		return answer{}, err
	}
	e, err := c.api.cfg.Accounts.EnrolTOTP(c.r.Context(), c.who.Identity, p)
	if err != nil {
		return answer{}, c.mean(err)
	}
	return ok(totpAnswer{Secret: e.Secret, URL: e.URL})
}

type totpRequest struct {
	Code string `json:"code" need:"true" max:"64"`
}

type recoveryAnswer struct {
	RecoveryCodes []string `json:"recovery_codes"`
}

func confirmTOTP(c *call) (answer, error) {
	in, err := decode[totpRequest](c)
	if err != nil {
		return answer{}, err
	}
	codes, err := c.api.cfg.Accounts.ConfirmTOTP(c.r.Context(), c.who.Identity, in.Code)
	return c.recovery(codes, err)
}

func newRecoveryCodes(c *call) (answer, error) {
	p, err := c.proof()
	if err != nil {
		return answer{}, err
	}
	codes, err := c.api.cfg.Accounts.NewRecoveryCodes(c.r.Context(), c.who.Identity, p)
	return c.recovery(codes, err)
}

func (c *call) recovery(codes []string, err error) (answer, error) {
	if err != nil {
		return answer{}, c.mean(err)
	}
	return ok(recoveryAnswer{RecoveryCodes: codes})
}

func disableTOTP(c *call) (answer, error) {
	p, err := c.proof()
	if err != nil {
		return answer{}, err
	}
	return c.done(c.api.cfg.Accounts.DisableTOTP(c.r.Context(), c.who.Identity, p))
}
