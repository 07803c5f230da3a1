package lab

import "testing"

// Roaming is a network in which one person can change from one way into the net
// to another, as a phone does that leaves the house. The partner stays.
//
//	Person = wlan0 - Wi-Fi router ---- public net - Partner
//	       = wwan0 - mobile router -/       |
//	                                     Server
type Roaming struct {
	Person, Partner, Server string // network namespaces
	ServerIP                string // public

	WifiIP, MobileIP             string // the person's own addresses
	WifiPublicIP, MobilePublicIP string // as others see the person

	net *netns
}

const (
	wifi   = "wlan0"
	mobile = "wwan0"
)

// NewRoaming makes the network, with the person on Wi-Fi; it goes with the test.
// It needs root. With relayed, all routers allow no direct path, and the partner
// is behind one too; else the partner has a public address and a direct path can be
// made.
func NewRoaming(t testing.TB, relayed bool) *Roaming {
	t.Helper()
	nat := portKeepingNAT
	if relayed {
		nat = symmetricNAT
	}
	n := newNetns(t, "srv", "wifi", "mobile", "rb", "a", "b")
	n.onBridge("srv", "11.0.0.1/24")
	n.onBridge("wifi", "11.0.0.2/24")
	n.onBridge("mobile", "11.0.0.3/24")
	n.behind("a", wifi, "wifi", "192.168.1", nat)
	n.lan("a", mobile, "mobile", "10.64.3", nat)
	if relayed {
		n.onBridge("rb", "11.0.0.4/24")
		n.behind("b", "eth0", "rb", "192.168.2", nat)
	} else {
		n.onBridge("b", "11.0.0.5/24")
	}
	return &Roaming{
		Person: n.id + "a", Partner: n.id + "b", Server: n.id + "srv", ServerIP: "11.0.0.1",
		WifiIP: "192.168.1.2", MobileIP: "10.64.3.2",
		WifiPublicIP: "11.0.0.2", MobilePublicIP: "11.0.0.3", net: n,
	}
}

// LoseWifi takes the person's link down: the machine notices, the other end of
// its connections does not.
func (r *Roaming) LoseWifi() { r.down(wifi) }

// LoseMobile is LoseWifi for the mobile link.
func (r *Roaming) LoseMobile() { r.down(mobile) }

// LeaveWifi takes the Wi-Fi's address away while its link stays up.
func (r *Roaming) LeaveWifi() {
	r.net.t.Helper()
	r.net.run("a", "ip addr flush dev "+wifi)
}

// JoinWifi brings the Wi-Fi link up, with its old address and as the way out.
func (r *Roaming) JoinWifi() { r.net.attach("a", wifi, "192.168.1") }

// JoinMobile brings the mobile link up, with an address of its own, as the way out.
func (r *Roaming) JoinMobile() { r.net.attach("a", mobile, "10.64.3") }

func (r *Roaming) down(dev string) {
	r.net.t.Helper()
	r.net.run("a", "ip link set "+dev+" down") // its routes go too
	r.net.run("a", "ip addr flush dev "+dev)
}
