package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/rondo-chat/rondo/internal/address"
	"github.com/rondo-chat/rondo/protocol"
	"github.com/rondo-chat/rondo/turnserver"
)

// errHelp says that help was asked for and printed.
var errHelp = errors.New("help")

// config is everything an operator can set. Each field is a flag; the flag
// "turn-listen" is RONDO_TURN_LISTEN in the environment and turn-listen in the
// YAML file. A flag wins over the environment, which wins over the file.
type config struct {
	ConfigFile string
	Roles      roleList

	Listen         string
	MetricsListen  string
	ReadyFile      string
	DataDir        string
	SecretFile     string
	Origins        stringList
	TrustedProxies prefixList
	PublicURL      string
	FrameAncestors stringList

	TLSCert, TLSKey string
	TLSSelfSigned   bool
	ACMEDomains     stringList
	ACMEEmail       string
	ACMEHTTP        string

	Redis       string
	RedisPrefix string
	Node        string

	Accounts             bool
	Conversations        bool
	EventsFile           string
	Database             string
	DatabasePasswordFile string
	DatabaseReplicas     stringList
	Files                filesConfig
	Mail                 mailConfig
	Translate            translateConfig
	Push                 pushConfig
	BlockedWords         string
	Links, GuestLinks    int

	TURN turnConfig

	Pools poolList

	MaxSessions           int
	MaxSessionsPerAddress int
	Grace                 time.Duration
	PingInterval          time.Duration
	DrainTimeout          time.Duration

	LogFormat    string
	LogLevel     string
	LogAddresses bool
}

// mailConfig is the part of config that says how mails leave.
type mailConfig struct {
	Server       string
	Security     string
	Username     string
	PasswordFile string
	CA           string
	From         string
}

// turnConfig is the part of config that concerns STUN and TURN.
type turnConfig struct {
	Enabled     bool
	Listen      stringList
	TLSListen   stringList
	ShareHTTPS  bool
	Host        string
	ExternalIPs addrList
	RelayPorts  portRange
	Realm       string
	Allow       prefixList
	Deny        prefixList
	RelayOnly   bool
	Secrets     stringList
	Servers     stringList
	Bandwidth   int
	GSO         string
}

// poolConfig is one pool of the configuration.
type poolConfig struct {
	Name      string        `yaml:"name"`
	Mode      protocol.Mode `yaml:"mode"`
	Traits    []string      `yaml:"traits"`
	RelayOnly bool          `yaml:"relay-only"`
	Schedule  []poolStep    `yaml:"schedule"`
}

type poolStep struct {
	After duration       `yaml:"after"`
	Reach protocol.Reach `yaml:"reach"`
}

// flags declares every setting with its default and its documentation.
func (c *config) flags(out io.Writer) *flag.FlagSet {
	fs := flag.NewFlagSet("rondo", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&c.ConfigFile, "config", "", "YAML `file` with any of these settings, named as the flags are")
	fs.Var(&c.Roles, "roles", "comma-separated `list` of what this process does: signaling (page, WebSocket, matching), turn (default: both)")
	fs.StringVar(&c.Listen, "listen", ":8080", "`address` of the page and the WebSocket")
	fs.StringVar(&c.MetricsListen, "metrics-listen", "127.0.0.1:9464", "`address` of /metrics, /healthz and /readyz; empty: none")
	fs.StringVar(&c.ReadyFile, "ready-file", "", "write the real addresses to this JSON `file` once the server is ready")
	fs.StringVar(&c.DataDir, "data", "data", "`folder` for what is generated and kept: the secret, certificates")
	fs.StringVar(&c.SecretFile, "secret-file", "", "`file` with the secret; the nodes of one service share it (default <data>/secret)")
	fs.Var(&c.Origins, "origins", "comma-separated `list` of web origins that may connect (default: the page's own)")
	fs.Var(&c.TrustedProxies, "trusted-proxies", "comma-separated `CIDRs` whose X-Forwarded-For is believed")
	fs.StringVar(&c.PublicURL, "public-url", "", "`URL` under which people reach the page, for links and the start-up message")
	fs.Var(&c.FrameAncestors, "frame-ancestors", "comma-separated `origins` that may show the page in a frame (default: none)")

	fs.StringVar(&c.TLSCert, "tls-cert", "", "certificate `file` (PEM); read again when it changes")
	fs.StringVar(&c.TLSKey, "tls-key", "", "private key `file` (PEM)")
	fs.BoolVar(&c.TLSSelfSigned, "tls-self-signed", false, "make a certificate for trying with a phone in the same network")
	fs.Var(&c.ACMEDomains, "acme-domain", "comma-separated `domains`: get certificates from Let's Encrypt")
	fs.StringVar(&c.ACMEEmail, "acme-email", "", "contact `address` for Let's Encrypt")
	fs.StringVar(&c.ACMEHTTP, "acme-http", "", "`address` for HTTP challenges and redirects, e.g. :80; empty: TLS challenges only")

	fs.StringVar(&c.Redis, "redis", "", "`URL` of Redis: redis://, rediss://, redis+cluster://, redis+sentinel://; empty: one node on memory")
	fs.StringVar(&c.RedisPrefix, "redis-prefix", "rondo:", "prefix of all Redis keys")
	fs.StringVar(&c.Node, "node", "", "this node's `name`, unique in the service (default: random)")

	fs.BoolVar(&c.Conversations, "conversations", true, "let people have conversations that last; they need accounts")
	fs.StringVar(&c.EventsFile, "events-file", "", "`file` (YAML) with the sinks that what happens in conversations is handed over to")
	fs.BoolVar(&c.Accounts, "accounts", true, "let people have accounts; false: guests only, and no database")
	fs.StringVar(&c.Database, "database", "", "`URL` of the database: sqlite:FILE, postgres://…, mysql://… (default sqlite:<data>/rondo.db)")
	fs.StringVar(&c.DatabasePasswordFile, "database-password-file", "", "`file` with the password for the database, instead of one in the URL")
	fs.Var(&c.DatabaseReplicas, "database-replica", "comma-separated `URLs` of read replicas of the database")
	c.Files.flags(fs)
	fs.StringVar(&c.Mail.Server, "smtp", "", "mail server, `host` or host:port; empty: mails go to the log, which is for development")
	fs.StringVar(&c.Mail.Security, "smtp-security", "", "starttls, tls or none (default starttls)")
	fs.StringVar(&c.Mail.Username, "smtp-user", "", "`name` to log in with at the mail server")
	fs.StringVar(&c.Mail.PasswordFile, "smtp-password-file", "", "`file` with the password for the mail server")
	fs.StringVar(&c.Mail.CA, "smtp-ca", "", "`file` (PEM) with what the mail server's certificate is signed by (default: the system's)")
	fs.StringVar(&c.Mail.From, "smtp-from", "", "sender's `address`: Rondo <rondo@example.org>")

	c.Push.flags(fs)
	c.Translate.flags(fs)
	fs.StringVar(&c.BlockedWords, "chat-blocked-words", "", "`file` with words that conversations refuse, one on a line")
	fs.IntVar(&c.Links, "chat-links", 60, "`number` of links that a user may post in conversations in an hour")
	fs.IntVar(&c.GuestLinks, "chat-guest-links", 5, "`number` of links that a guest may post in conversations in an hour")

	fs.BoolVar(&c.TURN.Enabled, "turn", true, "run the embedded STUN/TURN server")
	fs.Var(&c.TURN.Listen, "turn-listen", "comma-separated `addresses` for STUN and TURN on UDP and TCP (default :3478)")
	fs.Var(&c.TURN.TLSListen, "turn-tls-listen", "comma-separated `addresses` for TURN on TLS (default :5349 when there is a certificate and the page's port is not shared)")
	fs.BoolVar(&c.TURN.ShareHTTPS, "turn-share-https", true, "where the page has a certificate, serve TURN on TLS on its port too")
	fs.StringVar(&c.TURN.Host, "turn-host", "", "`host` in the TURN URLs given to clients (default: the ACME domain or the external IP)")
	fs.Var(&c.TURN.ExternalIPs, "turn-external-ip", "comma-separated `IPs` under which clients reach this machine (default: detected)")
	fs.Var(&c.TURN.RelayPorts, "turn-relay-ports", "UDP port `range` for relays, low-high (default 49152-65535)")
	fs.StringVar(&c.TURN.Realm, "turn-realm", "rondo", "TURN `realm`")
	fs.Var(&c.TURN.Allow, "turn-allow", "comma-separated `CIDRs` that relays may reach although they are private")
	fs.Var(&c.TURN.Deny, "turn-deny", "comma-separated `CIDRs` that relays may never reach")
	fs.BoolVar(&c.TURN.RelayOnly, "turn-relay-only", false, "relays reach only other relays of this server; all calls go through TURN")
	fs.Var(&c.TURN.Secrets, "turn-secret-files", "comma-separated `files` with static-auth secrets shared with other services; the first one signs")
	fs.Var(&c.TURN.Servers, "turn-server", "comma-separated `URLs` of other TURN servers: signed with the first of turn-secret-files, or, with roles signaling, our own secret")
	fs.IntVar(&c.TURN.Bandwidth, "turn-bandwidth", 0, "`bytes` per second that one relay may carry each way (default 1000000)")
	fs.StringVar(&c.TURN.GSO, "turn-gso", string(turnserver.GSOAuto), "`auto` or off: let Linux cut up bursts of relayed packets (UDP segmentation)")

	fs.Var(&c.Pools, "pools", "comma-separated `name:mode` pairs (default video:video,audio:audio,text:text); traits and schedules in the YAML file")

	fs.IntVar(&c.MaxSessions, "max-sessions", 0, "`number` of sessions this node takes (default 100000)")
	fs.IntVar(&c.MaxSessionsPerAddress, "max-sessions-per-address", 0, "`number` of connections from one IPv4 address or IPv6 /64 (default 50)")
	fs.DurationVar(&c.Grace, "grace", 30*time.Second, "how long a session outlives its connection")
	fs.DurationVar(&c.PingInterval, "ping", 25*time.Second, "heartbeat interval")
	fs.DurationVar(&c.DrainTimeout, "drain-timeout", 20*time.Second, "how long a stop may take; clients are sent away over half of it")

	fs.StringVar(&c.LogFormat, "log-format", "text", "text or json")
	fs.StringVar(&c.LogLevel, "log-level", "info", "debug, info, warn or error")
	fs.BoolVar(&c.LogAddresses, "log-addresses", false, "write clients' addresses to the log")
	return fs
}

// loadConfig reads flags, environment and file, and validates them. Errors name
// the setting.
func loadConfig(args, env []string, out io.Writer) (*config, error) {
	c := &config{}
	fs := c.flags(out)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, errHelp
		}
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%w: unexpected argument %q", errUsage, fs.Arg(0))
	}
	given := map[string]bool{}
	fs.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if err := applyEnv(fs, env, given); err != nil {
		return nil, err
	}
	if err := c.applyFile(fs, given); err != nil {
		return nil, err
	}
	return c, c.validate()
}

// applyEnv sets what RONDO_* says and no flag said, and adds it to given.
func applyEnv(fs *flag.FlagSet, env []string, given map[string]bool) error {
	for _, kv := range env {
		key, value, _ := strings.Cut(kv, "=")
		rest, ok := strings.CutPrefix(key, "RONDO_")
		if !ok {
			continue
		}
		name := strings.ToLower(strings.ReplaceAll(rest, "_", "-"))
		if fs.Lookup(name) == nil {
			return fmt.Errorf("%w: environment variable %s: no such setting", errUsage, key)
		}
		if given[name] {
			continue
		}
		if err := fs.Set(name, value); err != nil {
			return fmt.Errorf("%w: environment variable %s: %w", errUsage, key, err)
		}
		given[name] = true
	}
	return nil
}

// applyFile sets what the YAML file says and nobody else said.
func (c *config) applyFile(fs *flag.FlagSet, given map[string]bool) error {
	if c.ConfigFile == "" {
		return nil
	}
	data, err := os.ReadFile(c.ConfigFile)
	if err != nil {
		return fmt.Errorf("%w: config: %w", errUsage, err)
	}
	var settings map[string]any
	if err := yaml.Unmarshal(data, &settings); err != nil {
		return fmt.Errorf("%w: %s: %w", errUsage, c.ConfigFile, err)
	}
	for name, value := range settings {
		if fs.Lookup(name) == nil || name == "config" {
			return fmt.Errorf("%w: %s: %s: no such setting", errUsage, c.ConfigFile, name)
		}
		if given[name] {
			continue
		}
		if name == "pools" {
			if _, isText := value.(string); !isText {
				var file struct {
					Pools []poolConfig `yaml:"pools"`
				}
				if err := yaml.UnmarshalWithOptions(data, &file, yaml.CustomUnmarshaler(unmarshalDuration)); err != nil {
					return fmt.Errorf("%w: %s: pools: %w", errUsage, c.ConfigFile, err)
				}
				c.Pools = file.Pools
				continue
			}
		}
		if err := fs.Set(name, yamlText(value)); err != nil {
			return fmt.Errorf("%w: %s: %s: %w", errUsage, c.ConfigFile, name, err)
		}
	}
	return nil
}

// yamlText writes a YAML scalar or list as the flag would be written.
func yamlText(v any) string {
	list, ok := v.([]any)
	if !ok {
		return fmt.Sprint(v)
	}
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = fmt.Sprint(e)
	}
	return strings.Join(parts, ",")
}

// validate checks what no single flag can check.
func (c *config) validate() error {
	bad := func(name, format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", errUsage, name, fmt.Sprintf(format, args...))
	}
	modes := 0
	for _, on := range []bool{c.TLSCert != "" || c.TLSKey != "", c.TLSSelfSigned, len(c.ACMEDomains) > 0} {
		if on {
			modes++
		}
	}
	switch {
	case modes > 1:
		return bad("tls-cert", "choose one of tls-cert with tls-key, tls-self-signed and acme-domain")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return bad("tls-key", "tls-cert and tls-key go together")
	case c.ACMEEmail != "" && len(c.ACMEDomains) == 0:
		return bad("acme-email", "needs acme-domain")
	case c.LogFormat != "text" && c.LogFormat != "json":
		return bad("log-format", "%q is neither text nor json", c.LogFormat)
	case c.MaxSessions < 0:
		return bad("max-sessions", "must not be negative")
	case c.MaxSessionsPerAddress < 0:
		return bad("max-sessions-per-address", "must not be negative")
	case c.Grace < 0 || c.Grace > time.Hour:
		return bad("grace", "must lie between 0s and 1h")
	case c.PingInterval < time.Second || c.PingInterval > 5*time.Minute:
		return bad("ping", "must lie between 1s and 5m")
	case c.DrainTimeout < 0:
		return bad("drain-timeout", "must not be negative")
	case c.Links < 0 || c.GuestLinks < 0:
		return bad("chat-links", "it and chat-guest-links must not be negative")
	case c.TURN.Bandwidth < 0:
		return bad("turn-bandwidth", "must not be negative")
	case c.TURN.GSO != string(turnserver.GSOAuto) && c.TURN.GSO != string(turnserver.GSOOff):
		return bad("turn-gso", "must be auto or off")
	case c.Roles.turn() && len(c.TURN.Servers) > 0 && len(c.TURN.Secrets) == 0 && !allSTUN(c.TURN.Servers):
		return bad("turn-server", "other TURN servers need turn-secret-files to sign credentials with, or, if they are turn nodes of ours, roles: signaling here")
	case !c.Roles.signaling() && !c.TURN.Enabled:
		return bad("turn", "the role turn with turn switched off leaves nothing to do")
	}
	if c.EventsFile != "" && c.Roles.signaling() && (!c.Conversations || !c.hasAccounts()) {
		return bad("events-file", "events are of conversations, which are off with these settings: see conversations, accounts and database")
	}
	if _, err := logLevel(c.LogLevel); err != nil {
		return bad("log-level", "%q is none of debug, info, warn, error", c.LogLevel)
	}
	if err := errors.Join(c.validateAccounts(), c.Files.validate()); err != nil {
		return err
	}
	if err := c.Translate.validate(); err != nil {
		return err
	}
	return c.Pools.validate()
}

// secretPath is where the secret is kept.
func (c *config) secretPath() string {
	if c.SecretFile != "" {
		return c.SecretFile
	}
	return filepath.Join(c.DataDir, "secret")
}

func allSTUN(urls []string) bool {
	for _, u := range urls {
		if !strings.HasPrefix(u, "stun:") && !strings.HasPrefix(u, "stuns:") {
			return false
		}
	}
	return true
}

// relays reports whether this process runs a relay.
func (c *config) relays() bool { return c.TURN.Enabled && c.Roles.turn() }

// sharesHTTPS reports whether the relay is on the page's port too, if that has a
// certificate.
func (c *config) sharesHTTPS() bool {
	return c.relays() && c.Roles.signaling() && c.TURN.ShareHTTPS
}

// roleList is what a process does; empty: everything.
type roleList []string

const (
	roleSignaling = "signaling"
	roleTURN      = "turn"
)

func (l *roleList) String() string { return strings.Join(*l, ",") }

func (l *roleList) Set(s string) error {
	var parts stringList
	_ = parts.Set(s)
	for _, part := range parts {
		if part != roleSignaling && part != roleTURN {
			return fmt.Errorf("%q is neither %s nor %s", part, roleSignaling, roleTURN)
		}
	}
	*l = roleList(parts)
	return nil
}

func (l roleList) has(role string) bool { return len(l) == 0 || slices.Contains(l, role) }

func (l roleList) signaling() bool { return l.has(roleSignaling) }

func (l roleList) turn() bool { return l.has(roleTURN) }

// stringList is a comma-separated flag.
type stringList []string

func (l *stringList) String() string { return strings.Join(*l, ",") }

func (l *stringList) Set(s string) error {
	*l = nil
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			*l = append(*l, part)
		}
	}
	return nil
}

// prefixList is a comma-separated flag of CIDRs; a bare address is a CIDR of one.
type prefixList []netip.Prefix

func (l *prefixList) String() string { return joinStringers(*l) }

func (l *prefixList) Set(s string) (err error) {
	var parts stringList
	_ = parts.Set(s)
	*l, err = address.ParsePrefixes(parts)
	return err
}

// addrList is a comma-separated flag of IP addresses.
type addrList []netip.Addr

func (l *addrList) String() string { return joinStringers(*l) }

func (l *addrList) Set(s string) error {
	*l = nil
	var parts stringList
	_ = parts.Set(s)
	for _, part := range parts {
		a, err := netip.ParseAddr(part)
		if err != nil {
			return fmt.Errorf("%q is not an IP address", part)
		}
		*l = append(*l, a)
	}
	return nil
}

func joinStringers[T fmt.Stringer](list []T) string {
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = e.String()
	}
	return strings.Join(parts, ",")
}

// portRange is a flag "low-high"; zero means the default.
type portRange struct{ Low, High uint16 }

func (r *portRange) String() string {
	if r.High == 0 {
		return ""
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

func (r *portRange) Set(s string) error {
	var low, high uint16
	if n, err := fmt.Sscanf(s, "%d-%d", &low, &high); n != 2 || err != nil || low < 1024 || high < low {
		return fmt.Errorf("%q is not a range such as 49152-65535 (lowest 1024)", s)
	}
	*r = portRange{low, high}
	return nil
}

// duration reads "5s" in YAML.
type duration time.Duration

func unmarshalDuration(d *duration, text []byte) error {
	v, err := time.ParseDuration(strings.Trim(strings.TrimSpace(string(text)), `"'`))
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 5s", text)
	}
	*d = duration(v)
	return nil
}

// poolList is the flag "video:video,adult:video"; the YAML file can say more.
type poolList []poolConfig

func (l *poolList) String() string {
	parts := make([]string, len(*l))
	for i, p := range *l {
		parts[i] = p.Name + ":" + string(p.Mode)
	}
	return strings.Join(parts, ",")
}

func (l *poolList) Set(s string) error {
	*l = nil
	var parts stringList
	_ = parts.Set(s)
	for _, part := range parts {
		name, mode, ok := strings.Cut(part, ":")
		if !ok {
			mode = name
		}
		*l = append(*l, poolConfig{Name: name, Mode: protocol.Mode(mode)})
	}
	return l.validate()
}

func (l poolList) validate() error {
	seen := map[string]bool{}
	for _, p := range l {
		switch p.Mode {
		case protocol.ModeVideo, protocol.ModeAudio, protocol.ModeText:
		default:
			return fmt.Errorf("%w: pools: %q: mode %q is none of video, audio, text", errUsage, p.Name, p.Mode)
		}
		if p.Name == "" || seen[p.Name] {
			return fmt.Errorf("%w: pools: name %q is empty or occurs twice", errUsage, p.Name)
		}
		seen[p.Name] = true
		for _, s := range p.Schedule {
			switch s.Reach {
			case protocol.ReachTags, protocol.ReachLanguage, protocol.ReachAnyone:
			default:
				return fmt.Errorf("%w: pools: %q: reach %q is none of tags, language, anyone", errUsage, p.Name, s.Reach)
			}
		}
	}
	return nil
}
