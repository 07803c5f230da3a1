package spectest

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

func protocolDir() fs.FS { return os.DirFS("../../protocol") }

// page reads docs/protocol.md.
func page(t *testing.T) string {
	t.Helper()
	src, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(src)
}

// example is a JSON object of the page.
type example struct {
	line  int
	text  string
	value object
	// short: something in it stands for more ("ice":{…}), so that what is
	// required may be missing.
	short bool
	left  []string // the names of what was abbreviated
}

// code finds code spans and blocks.
var code = regexp.MustCompile("(?s)```[a-z]*\n.*?```|`[^`\n]+`")

// The page's ways to leave something out or to give a choice.
var (
	ellipsis = regexp.MustCompile(`\{…[^{}"]*\}|\[…[^\[\]"]*\]`)
	bare     = regexp.MustCompile(`:…`)
	choice   = regexp.MustCompile(`("[^"\n]*"|"\\u2026")(\|("[^"\n]*"|null))+`)
)

// examples returns all JSON objects in the page's code, each choice in full.
func examples(t *testing.T, text string) []example {
	t.Helper()
	var all []example
	for _, span := range code.FindAllStringIndex(text, -1) {
		for from := span[0]; from < span[1]; from++ {
			if text[from] != '{' {
				continue
			}
			end := closing(text, from, span[1])
			if end < 0 {
				continue
			}
			all = append(all, variants(t, text[from:end], 1+strings.Count(text[:from], "\n"))...)
			from = end
		}
	}
	return all
}

// closing returns the index after the brace that closes the one at from, or -1.
func closing(s string, from, limit int) int {
	depth, quoted := 0, false
	for i := from; i < limit; i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			depth++
		case c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return -1
}

// variants reads an example, once for every alternative it gives. Code in
// braces that is no JSON (an object has a quoted key) is no example.
func variants(t *testing.T, text string, line int) []example {
	t.Helper()
	const left = `"\u2026"` // the escape keeps it apart from an ellipsis in a string
	src := strings.ReplaceAll(text, `\|`, `|`)
	if !regexp.MustCompile(`^\{\s*"`).MatchString(src) {
		return nil
	}
	src = bare.ReplaceAllString(ellipsis.ReplaceAllString(src, left), ":1")
	n := 1
	for _, c := range choice.FindAllString(src, -1) {
		n = max(n, len(strings.Split(c, "|")))
	}
	var list []example
	for i := range n {
		one := choice.ReplaceAllStringFunc(src, func(c string) string {
			parts := strings.Split(c, "|")
			return parts[min(i, len(parts)-1)]
		})
		marked := strings.ReplaceAll(one, left, `"<left out>"`)
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader([]byte(marked)))
		if err != nil {
			t.Errorf("docs/protocol.md:%d: not JSON: %v\n%s", line, err, text)
			continue
		}
		e := example{line: line, text: text, value: v.(object)}
		e.abbreviate(e.value)
		list = append(list, e)
	}
	return list
}

// abbreviate removes what stands for more.
func (e *example) abbreviate(o object) {
	maps.DeleteFunc(o, func(k string, v any) bool {
		if v != "<left out>" {
			return false
		}
		e.short = true
		e.left = append(e.left, k)
		return true
	})
	for _, v := range o {
		visit(v, "", func(_ string, inner object) {
			if slices.Contains(slices.Collect(maps.Values(inner)), any("<left out>")) {
				e.abbreviate(inner)
			}
		})
	}
}

// schemas compiles what an example may be. Unlike a receiver they accept no
// unknown keys; short ones require nothing.
func schemas(t *testing.T, short bool) map[string]*jsonschema.Schema {
	t.Helper()
	doc := document(t)
	visit(doc["components"], "", func(_ string, o object) {
		if _, ok := o["properties"].(object); !ok || o["type"] != "object" {
			return
		}
		o["additionalProperties"] = false
		if short {
			delete(o, "required")
		}
	})
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft7)
	if err := c.AddResource("asyncapi.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled := map[string]*jsonschema.Schema{}
	for kind, suffix := range map[string]string{"messages": "/payload", "schemas": ""} {
		for name := range at(t, doc, "components", kind) {
			path := kind + "/" + name
			s, err := c.Compile("asyncapi.json#/components/" + path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			compiled[path] = s
		}
	}
	return compiled
}

// matches returns what the example can be: a message where it has a "t", one of
// the schemas otherwise. why explains an empty answer.
func matches(v object, compiled map[string]*jsonschema.Schema) (names []string, why string) {
	kind := "schemas/"
	typ, isMessage := v["t"].(string)
	if isMessage {
		kind = "messages/"
	}
	var reasons []string
	for name, s := range compiled {
		if !strings.HasPrefix(name, kind) {
			continue
		}
		err := s.Validate(v)
		if err == nil {
			names = append(names, name)
		} else if strings.HasPrefix(name, kind+typ) && isMessage {
			reasons = append(reasons, fmt.Sprintf("%s: %#v", name, err))
		}
	}
	slices.Sort(names)
	slices.Sort(reasons)
	return names, strings.Join(reasons, "\n")
}

func TestExamplesOfThePage(t *testing.T) {
	all := examples(t, page(t))
	if len(all) < 50 {
		t.Fatalf("only %d examples found in docs/protocol.md", len(all))
	}
	full, short := schemas(t, false), schemas(t, true)
	known := map[string]bool{"d": true}
	visit(document(t)["components"], "", func(_ string, o object) {
		properties, _ := o["properties"].(object)
		for name := range properties {
			known[name] = true
		}
	})
	for _, e := range all {
		compiled := full
		if e.short {
			compiled = short
		}
		if names, why := matches(e.value, compiled); len(names) == 0 {
			t.Errorf("docs/protocol.md:%d: no message or schema of docs/asyncapi.yaml is like this: %s\n%s", e.line, e.text, why)
		}
		for _, name := range e.left {
			if !known[name] {
				t.Errorf("docs/protocol.md:%d: %q is in no schema of docs/asyncapi.yaml", e.line, name)
			}
		}
	}
}

// TestExamplesCanFail: the check above notices what is wrong.
func TestExamplesCanFail(t *testing.T) {
	full := schemas(t, false)
	for _, text := range []string{
		`{"t":"helo","id":1,"d":{}}`,
		`{"t":"hello","id":0,"d":{}}`,
		`{"t":"hello","id":1,"d":{"nam":"Ann"}}`,
		`{"t":"match.find","id":1,"d":{"tags":["a","b","c","d"]}}`,
		`{"t":"chat","id":9,"room":"k3","d":{"cid":"a b","text":"hello"}}`,
		`{"t":"chat","id":9,"d":{"cid":"a","text":"hello"}}`,
		`{"t":"signal","room":"k3","kind":"wave","d":{}}`,
		`{"t":"err","id":1,"e":{"code":"oops","msg":"x"}}`,
		`{"peer":4}`,
	} {
		list := examples(t, "`"+text+"`")
		if len(list) != 1 {
			t.Fatalf("%s: %d examples", text, len(list))
		}
		if names, _ := matches(list[0].value, full); len(names) > 0 {
			t.Errorf("%s is taken for %v", text, names)
		}
	}
}

// rows returns the first cell of each row of the table under a heading.
func rows(t *testing.T, text, heading string) []string {
	t.Helper()
	_, section, ok := strings.Cut(text, "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("docs/protocol.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var cells []string
	for _, m := range regexp.MustCompile("(?m)^\\| `?([a-z0-9_.]+)`? \\|").FindAllStringSubmatch(section, -1) {
		cells = append(cells, m[1])
	}
	return cells
}

// TestTablesOfThePage: codes are the same there and in package protocol.
func TestTablesOfThePage(t *testing.T) {
	text := page(t)
	for heading, typ := range map[string]string{"9. Error codes": "Code", "10. Close codes": "CloseCode"} {
		got := slices.DeleteFunc(rows(t, text, heading), func(s string) bool { return s == "code" })
		slices.Sort(got)
		if want := constants(t, typ); !slices.Equal(got, want) {
			t.Errorf("docs/protocol.md, %s: %v; package protocol has %v", heading, got, want)
		}
	}
	for _, name := range rows(t, text, "4. Requests") {
		if name != "t" && !slices.Contains(constants(t, "Type"), name) {
			t.Errorf("docs/protocol.md, 4. Requests: package protocol has no type %q", name)
		}
	}
}
