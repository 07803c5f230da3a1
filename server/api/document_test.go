package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/rondo-chat/rondo/docs"
)

// object is a JSON object.
type object = map[string]any

// methods are the keys of a path item that are operations.
var methods = [...]string{"get", "post", "patch", "put", "delete"}

// document reads docs/openapi.yaml, a new copy for each call.
func document(t *testing.T) object {
	t.Helper()
	asJSON, err := yaml.YAMLToJSON([]byte(docs.OpenAPI))
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

// resolve follows a reference within the document, as often as there is one.
func resolve(t *testing.T, doc object, v any) object {
	t.Helper()
	o, ok := v.(object)
	if !ok {
		t.Fatalf("%v is no object", v)
	}
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	var at any = doc
	for key := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(object)[key]
	}
	if at == nil {
		t.Fatalf("%s is not there", ref)
	}
	return resolve(t, doc, at)
}

// operation is one method of one path of the document.
type operation struct {
	method, path string // "GET", "/api/v1/me"
	o            object
	parameters   []object
}

func operations(t *testing.T, doc object) []operation {
	t.Helper()
	var list []operation
	paths := doc["paths"].(object)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item := paths[path].(object)
		for _, m := range methods {
			o, ok := item[m].(object)
			if !ok {
				continue
			}
			op := operation{method: strings.ToUpper(m), path: path, o: o}
			for _, where := range []object{item, o} {
				list, _ := where["parameters"].([]any)
				for _, p := range list {
					op.parameters = append(op.parameters, resolve(t, doc, p))
				}
			}
			list = append(list, op)
		}
	}
	return list
}

// compile makes a validator of a schema that stands in the document. The schema
// is given by value: what it refers to is looked up in the document.
func compile(t *testing.T, doc object, schema any) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	whole := maps.Clone(doc)
	whole["x-this"] = schema
	if err := c.AddResource("openapi.json", any(whole)); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("openapi.json#/x-this")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// examples returns what stands under example and examples.
func examplesOf(o object) map[string]any {
	all := map[string]any{}
	if v, ok := o["example"]; ok {
		all["example"] = v
	}
	if named, ok := o["examples"].(object); ok {
		for name, v := range named {
			all[name] = v.(object)["value"]
		}
	}
	return all
}

// media returns the bodies of a request or response by their types.
func media(t *testing.T, doc object, v any) map[string]object {
	t.Helper()
	all := map[string]object{}
	if v == nil {
		return all
	}
	content, _ := resolve(t, doc, v)["content"].(object)
	for typ, m := range content {
		all[typ] = m.(object)
	}
	return all
}

// TestExamplesOfTheDocument: each is there, and is what its schema says.
func TestExamplesOfTheDocument(t *testing.T) {
	doc := document(t)
	check := func(where string, schema, value any) {
		if err := compile(t, doc, schema).Validate(value); err != nil {
			t.Errorf("%s: %#v", where, err)
		}
	}
	for _, op := range operations(t, doc) {
		where := op.method + " " + op.path
		for _, p := range op.parameters {
			if v, ok := p["example"]; ok {
				check(where+" parameter "+p["name"].(string), p["schema"], v)
			}
		}
		bodies := []any{op.o["requestBody"]}
		for _, r := range op.o["responses"].(object) {
			bodies = append(bodies, r)
		}
		for _, body := range bodies {
			for typ, m := range media(t, doc, body) {
				all := examplesOf(m)
				if len(all) == 0 && op.path != "/api/v1/openapi.json" {
					t.Errorf("%s: %s without example", where, typ)
				}
				for name, v := range all {
					check(fmt.Sprintf("%s %s %s", where, typ, name), m["schema"], v)
				}
			}
		}
	}
}

// TestDocumentIsComplete: what every operation must say.
func TestDocumentIsComplete(t *testing.T) {
	doc := document(t)
	seen := map[string]bool{}
	for _, op := range operations(t, doc) {
		where := op.method + " " + op.path
		id, _ := op.o["operationId"].(string)
		if id == "" || seen[id] {
			t.Errorf("%s: operationId %q is missing or not its own", where, id)
		}
		seen[id] = true
		for _, key := range []string{"summary", "tags", "x-action", "responses"} {
			if op.o[key] == nil {
				t.Errorf("%s: no %s", where, key)
			}
		}
		if op.o["responses"].(object)["default"] == nil {
			t.Errorf("%s: no default response", where)
		}
		if body, ok := op.o["requestBody"]; ok && id != "uploadFile" { // whose body is the file
			schema := resolve(t, doc, media(t, doc, body)["application/json"]["schema"])
			if schema["additionalProperties"] != false {
				t.Errorf("%s: the request lets unknown properties through", where)
			}
		}
		if _, err := json.Marshal(op.o); err != nil {
			t.Error(err)
		}
	}
	if len(seen) < 20 {
		t.Errorf("only %d operations", len(seen))
	}
}
