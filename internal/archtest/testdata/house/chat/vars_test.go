package chat

type probe struct {
	name string
	ask  func() int
}

func ask(name string) probe { return probe{name, func() int { return 1 }} }

func start() *counter { return &counter{} }

func message(b ...byte) []byte { return b }

var (
	probes = []probe{{name: "a"}, ask("b")}
	bytes  = message(1, 2)
	server = start()             // want vars
	all    = []*counter{start()} // want vars
)
