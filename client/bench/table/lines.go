package table

// By is what a goal is about.
type By string

// What goals are about.
const (
	Ours  By = "ours"
	Ratio By = "ratio"
)

// Line is a line of the table: what is measured, and what is to be reached.
type Line struct {
	Group, Name string
	Unit        string
	Anchor      string // what others have
	By          By
	Must, Then  float64 // 0: no goal
	AtLeast     bool    // more is better
}

// Lines are all lines in the order of the table.
func Lines() []Line {
	const (
		peer = "best Go peer "
		us   = "µs of CPU"
	)
	return []Line{
		{"match", "memory: both asked → both told, p50", "ms", peer + "0.61–0.82 ms", Ours, 0.6, 0, false},
		{"match", "memory: both asked → both told, p99", "ms", "", Ours, 3, 0, false},
		{"match", "memory: 1,000 ask at once", "pairs/s", peer + "1,100–4,168", Ours, 6000, 0, true},
		{"match", "memory: CPU for each pair", "ms", peer + "0.2–0.4 ms", Ours, 0.15, 0, false},
		{"match", "Redis: both asked → both told, p50", "ms", peer + "0.61–0.82 ms", Ours, 0.6, 0, false},
		{"match", "Redis: both asked → both told, p99", "ms", "", Ours, 3, 0, false},
		{"match", "Redis: 1,000 ask at once", "pairs/s", peer + "1,100–4,168", Ours, 6000, 0, true},
		{"match", "Redis: CPU for each pair", "ms", peer + "0.2–0.4 ms", Ours, 0.15, 0, false},
		{"match", "Redis: its own CPU for each pair, beside ZADD", us, "", Ratio, 6, 0, false},
		{"match", "Redis: both told p50, beside PING", "ms", "", Ratio, 0, 0, false},

		{"idle", "plain: memory of an idle session", "KiB", "tuned gorilla 7.6, centrifuge 10.6–26.8", Ours, 8, 5.5, false},
		{"idle", "TLS: memory of an idle session", "KiB", "tuned gorilla 16.5, centrifuge 20.9", Ours, 18, 15, false},
		{"idle", "a new session", us, "", Ours, 0, 0, false},
		{"idle", "a heartbeat", us, "", Ours, 0, 0, false},

		{"relay", "500 B, one in flight", us, "gorilla 1.31–1.49x, centrifuge 2.72x", Ratio, 1.6, 1.3, false},
		{"relay", "500 B, bursts of 16", us, "gorilla 0.85–1.55x, centrifuge 2.69x", Ratio, 1.1, 0.85, false},
		{"relay", "12 kB", us, "gorilla 1.89–2.59x, centrifuge 7.9x", Ratio, 2.6, 1.9, false},
		{"relay", "500 B, one in flight: gorilla's chat example", us, "3.79x", Ratio, 0, 0, false},
		{"relay", "500 B, bursts of 16: gorilla's chat example", us, "5.74x", Ratio, 0, 0, false},
		{"relay", "12 kB: gorilla's chat example", us, "24.4x", Ratio, 0, 0, false},
		{"relay", "allocations for each message", "objects", "", Ours, 3, 1, false},

		{"fanout", "one at a time, for each delivery", us, "centrifuge 1.85–2.16x", Ratio, 1.3, 1.15, false},
		{"fanout", "eight at once, for each delivery", us, "centrifuge 0.61x", Ratio, 0.6, 0.5, false},
		{"fanout", "the same with the message on disk, one at a time", us, "", Ratio, 0, 0, false},
		{"fanout", "allocations for each delivery", "objects", "", Ours, 0.1, 0, false},

		{"latency", "4,000 messages/s, p50", "ms", "centrifuge 2x", Ratio, 1.5, 1, false},
		{"latency", "4,000 messages/s, p99", "ms", "centrifuge 2.8x", Ratio, 2, 1, false},

		{"nodes", "a signal between nodes: CPU of Redis, beside PUBLISH", us, "", Ratio, 0.3, 0, false},
		{"nodes", "a signal between nodes: CPU of both nodes", us, "", Ours, 0, 0, false},

		{"turn", "client → peer, bursts of 7", us, "pion 1.60x", Ratio, 0.70, 0, false},
		{"turn", "client → peer, single", us, "pion 1.55x", Ratio, 0.90, 0, false},
		{"turn", "peer → client, bursts of 7", us, "pion 2.15x", Ratio, 0.75, 0, false},
		{"turn", "peer → client, single", us, "pion 1.94x", Ratio, 0.90, 0, false},
		{"turn", "relay ↔ relay, bursts of 7", us, "pion 1.61x", Ratio, 0.40, 0, false},
		{"turn", "relay ↔ relay, single", us, "pion 1.51x", Ratio, 0.60, 0, false},
		{"turn", "lost at 20,000 packets/s", "%", "pion 0.1–14", Ours, 0.01, 0, false},
		{"turn", "memory of an allocation", "kB", "coturn 22.5, pion 13.4–17.7", Ours, 19, 0, false},

		{"call", "direct: click → connected, p50", "ms", "bare pion", Ratio, 1.1, 0, false},
		{"call", "relayed: click → connected, p50", "ms", "bare pion", Ratio, 1.1, 0, false},

		{"growth", "10x users and rooms: a message", us, "", Ratio, 1.2, 0, false},
		{"growth", "10x users: memory of an idle session", "KiB", "", Ratio, 1.2, 0, false},
		{"growth", "10x waiting: a pair", us, "", Ratio, 1.2, 0, false},
		{"growth", "10x members: a delivery", us, "", Ratio, 1.2, 0, false},
		{"growth", "10x messages: a message", us, "", Ratio, 1.2, 0, false},
	}
}
