package spectest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// object is a JSON object.
type object = map[string]any

// document reads docs/asyncapi.yaml, a new copy for each call.
func document(t *testing.T) object {
	t.Helper()
	src, err := os.ReadFile("../../docs/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(src)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, asJSON).(object)
}

// parse reads JSON as the validator wants it, with numbers kept exact.
func parse(t *testing.T, src []byte) any {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(src))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// at follows a path of keys.
func at(t *testing.T, v any, keys ...string) object {
	t.Helper()
	for _, k := range keys {
		m, ok := v.(object)
		if !ok || m[k] == nil {
			t.Fatalf("the document has no %s", strings.Join(keys, "/"))
		}
		v = m[k]
	}
	return v.(object)
}

// keys returns the sorted keys of m.
func keys(m object) []string {
	var list []string
	for k := range m {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// visit calls f for every object within v, v included, with its path.
func visit(v any, path string, f func(path string, o object)) {
	switch v := v.(type) {
	case object:
		f(path, v)
		for _, k := range keys(v) {
			visit(v[k], path+"/"+k, f)
		}
	case []any:
		for i, e := range v {
			visit(e, fmt.Sprintf("%s/%d", path, i), f)
		}
	}
}

func TestDocumentIsAsyncAPI(t *testing.T) {
	src, err := os.ReadFile("testdata/asyncapi-3.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("asyncapi-3.0.0.json", parse(t, src)); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("asyncapi-3.0.0.json")
	if err != nil {
		t.Fatal(err)
	}
	doc := document(t)
	if err := schema.Validate(doc); err != nil {
		t.Fatalf("docs/asyncapi.yaml is not AsyncAPI 3.0: %#v", err)
	}
	for name, spoil := range map[string]func(object){
		"no version":        func(d object) { delete(d, "asyncapi") },
		"an unknown key":    func(d object) { d["chanels"] = object{} },
		"an unknown action": func(d object) { at(t, d, "operations", "hello")["action"] = "say" },
		"a channel's type":  func(d object) { at(t, d, "channels", "ws")["address"] = json.Number("1") },
	} {
		bad := document(t)
		spoil(bad)
		if schema.Validate(bad) == nil {
			t.Errorf("%s: the schema accepts it", name)
		}
	}
}

// resolve follows a local reference such as "#/components/schemas/User".
func resolve(doc object, ref string) (any, bool) {
	path, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		return nil, false
	}
	var v any = doc
	for key := range strings.SplitSeq(path, "/") {
		m, isObject := v.(object)
		if !isObject || m[key] == nil {
			return nil, false
		}
		v = m[key]
	}
	return v, true
}

func TestReferencesResolve(t *testing.T) {
	doc := document(t)
	used := map[string]bool{}
	visit(doc, "#", func(path string, o object) {
		ref, ok := o["$ref"].(string)
		if !ok {
			return
		}
		used[ref] = true
		if _, ok := resolve(doc, ref); !ok {
			t.Errorf("%s: %s is not there", path, ref)
		}
		if len(o) > 1 {
			t.Errorf("%s: what stands beside a $ref is ignored", path)
		}
	})
	for _, kind := range []string{"messages", "schemas"} {
		for _, name := range keys(at(t, doc, "components", kind)) {
			if name == "Problem" { // an HTTP body, no message
				continue
			}
			if ref := "#/components/" + kind + "/" + name; !used[ref] {
				t.Errorf("%s is not used", ref)
			}
		}
	}
}

// TestOperations: every message is sent or received by some operation, and
// what asks for a reply can be told no.
func TestOperations(t *testing.T) {
	doc := document(t)
	used := map[string]bool{}
	for name, v := range at(t, doc, "operations") {
		op := v.(object)
		lists := []any{op["messages"]}
		if reply, ok := op["reply"].(object); ok {
			lists = append(lists, reply["messages"])
			if op["action"] == "receive" && name != "receivePing" && !strings.Contains(fmt.Sprint(reply["messages"]), "/messages/err]") {
				t.Errorf("operation %s: err is not among the replies", name)
			}
		}
		for _, list := range lists {
			for _, m := range list.([]any) {
				used[strings.TrimPrefix(m.(object)["$ref"].(string), "#/channels/ws/messages/")] = true
			}
		}
	}
	for _, name := range keys(at(t, doc, "channels", "ws", "messages")) {
		if !used[name] {
			t.Errorf("message %s belongs to no operation", name)
		}
	}
	if got, want := keys(at(t, doc, "channels", "ws", "messages")), keys(at(t, doc, "components", "messages")); !slices.Equal(got, want) {
		t.Errorf("messages of the channel and of the components differ:\n%v\n%v", got, want)
	}
}
