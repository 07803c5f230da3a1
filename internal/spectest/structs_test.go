package spectest

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// payloads are all structs of package protocol that go over the wire; that none
// is left out is tested.
func payloads() []any {
	return []any{
		protocol.Hello{}, protocol.Welcome{}, protocol.User{}, protocol.ResumeInfo{}, protocol.Limits{}, protocol.Pool{},
		protocol.Widen{}, protocol.ICE{}, protocol.ICEServer{}, protocol.Resume{}, protocol.Resumed{}, protocol.State{},
		protocol.Find{}, protocol.Waiting{}, protocol.Found{}, protocol.Shared{}, protocol.Stopped{}, protocol.Peer{},
		protocol.RoomCreate{}, protocol.RoomJoin{}, protocol.RoomInfo{}, protocol.RoomState{}, protocol.PeerJoined{},
		protocol.PeerLeft{}, protocol.PeerReconnecting{}, protocol.PeerBack{}, protocol.PeerUpdated{}, protocol.RoomClosed{},
		protocol.CallState{}, protocol.CallSteps{}, protocol.ChatSend{}, protocol.ChatSent{}, protocol.ChatMessage{}, protocol.ChatQuery{},
		protocol.ChatHistory{}, protocol.Typing{}, protocol.Block{}, protocol.UserUpdate{}, protocol.UserUpdated{}, protocol.Auth{}, protocol.Authed{},
		protocol.Stats{}, protocol.PoolStats{}, protocol.Reconnect{}, protocol.WireError{},
		protocol.Conversation{}, protocol.ConvPerson{}, protocol.ConvMessage{}, protocol.ConvReaction{}, protocol.ConvFile{}, protocol.ConvEvent{},
		protocol.ConvEntry{}, protocol.ConvListQuery{}, protocol.ConvList{}, protocol.ConvOpen{}, protocol.ConvOpened{}, protocol.ConvHistoryQuery{},
		protocol.ConvHistory{}, protocol.ConvSyncQuery{}, protocol.ConvSync{}, protocol.ConvSend{}, protocol.ConvSent{}, protocol.ConvChange{},
		protocol.ConvMark{}, protocol.ConvMarked{}, protocol.ConvTyping{}, protocol.ConvPresence{}, protocol.ConvTranslate{}, protocol.ConvTranslated{},
		protocol.ConvTranslation{},
	}
}

// restOnly are those that go over the REST interface only: docs/openapi.yaml has them.
func restOnly() []string {
	return []string{"ConvCreate", "ConvPatch", "ConvDirectoryQuery", "ConvDirectory", "ConvPeople", "ConvSearchQuery", "ConvFound", "ConvHit", "ConvRevision",
		"PushSubscription", "PushKeys", "PushDevice"}
}

// TestSchemasMatchStructs compares names, types, and what may be absent or null.
func TestSchemasMatchStructs(t *testing.T) {
	doc := document(t)
	schemas := at(t, doc, "components", "schemas")
	for _, p := range payloads() {
		typ := reflect.TypeOf(p)
		schema, ok := schemas[typ.Name()].(object)
		if !ok {
			t.Errorf("protocol.%s has no schema: add components/schemas/%s", typ.Name(), typ.Name())
			continue
		}
		for _, problem := range compare(doc, typ, schema) {
			t.Errorf("components/schemas/%s: %s", typ.Name(), problem)
		}
	}
}

// compare says how a schema differs from a struct.
func compare(doc object, typ reflect.Type, schema object) []string {
	var problems []string
	properties, _ := schema["properties"].(object)
	rest := keys(properties)
	var required []string
	for _, field := range fieldsOf(typ) {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		optional := strings.Contains(options, "omitempty")
		if !optional {
			required = append(required, name)
		}
		i := slices.Index(rest, name)
		if i < 0 {
			problems = append(problems, fmt.Sprintf("property %q of %s is missing", name, field.Name))
			continue
		}
		rest = slices.Delete(rest, i, i+1)
		nullable := field.Type.Kind() == reflect.Pointer && !optional
		if why := compareType(doc, field.Type, properties[name].(object), nullable); why != "" {
			problems = append(problems, fmt.Sprintf("property %q: %s", name, why))
		}
	}
	for _, name := range rest {
		problems = append(problems, fmt.Sprintf("property %q is in no struct", name))
	}
	var got []string
	list, _ := schema["required"].([]any)
	for _, name := range list {
		got = append(got, name.(string))
	}
	slices.Sort(got)
	slices.Sort(required)
	if !slices.Equal(got, required) {
		problems = append(problems, fmt.Sprintf("required is %q, without omitempty are %q", got, required))
	}
	return problems
}

// fieldsOf returns the fields that JSON has: also those of embedded structs.
func fieldsOf(typ reflect.Type) (all []reflect.StructField) {
	for field := range typ.Fields() {
		if field.Anonymous {
			all = append(all, fieldsOf(field.Type)...)
		} else {
			all = append(all, field)
		}
	}
	return all
}

// compareType says how a property differs from a field's type.
func compareType(doc object, typ reflect.Type, schema object, nullable bool) string {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if nullable {
		inner, ok := withoutNull(schema)
		if !ok {
			return "may be null, the schema forbids it"
		}
		schema = inner
	}
	if typ.Kind() == reflect.Struct {
		if want := "#/components/schemas/" + typ.Name(); schema["$ref"] != want {
			return "want $ref " + want
		}
		return ""
	}
	if ref, ok := schema["$ref"].(string); ok {
		v, found := resolve(doc, ref)
		if !found {
			return ref + " is not there"
		}
		schema = v.(object)
	}
	want := jsonType(typ.Kind())
	if schema["type"] != want {
		return fmt.Sprintf("type is %v, want %s", schema["type"], want)
	}
	if typ.Kind() == reflect.Slice {
		items, ok := schema["items"].(object)
		if !ok {
			return "items are missing"
		}
		return compareType(doc, typ.Elem(), items, false)
	}
	return ""
}

// withoutNull returns the schema of a nullable value when it is not null.
func withoutNull(schema object) (object, bool) {
	if types, ok := schema["type"].([]any); ok && len(types) == 2 && types[1] == "null" {
		return object{"type": types[0]}, true
	}
	if either, ok := schema["oneOf"].([]any); ok && len(either) == 2 && either[1].(object)["type"] == "null" {
		return either[0].(object), true
	}
	return nil, false
}

func jsonType(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "boolean"
	case reflect.Slice:
		return "array"
	case reflect.Int, reflect.Int64, reflect.Uint32, reflect.Uint64:
		return "integer"
	}
	return k.String()
}

// TestCompareSeesDifferences: what TestSchemasMatchStructs relies on.
func TestCompareSeesDifferences(t *testing.T) {
	doc := document(t)
	for name, spoil := range map[string]func(object){
		"missing property": func(s object) { delete(at(t, s, "properties"), "waiting") },
		"unknown property": func(s object) { at(t, s, "properties")["x"] = object{} },
		"other type":       func(s object) { at(t, s, "properties")["waiting"] = object{"type": "string"} },
		"not required":     func(s object) { s["required"] = s["required"].([]any)[1:] },
		"not nullable":     func(s object) { at(t, s, "properties")["estimate_ms"] = object{"type": "integer"} },
		"other reference":  func(s object) { at(t, s, "properties")["reach"] = object{"$ref": "#/components/schemas/User"} },
	} {
		schema := at(t, document(t), "components", "schemas", "Waiting")
		if p := compare(doc, reflect.TypeFor[protocol.Waiting](), schema); len(p) > 0 {
			t.Fatal(p)
		}
		spoil(schema)
		if len(compare(doc, reflect.TypeFor[protocol.Waiting](), schema)) == 0 {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// source parses package protocol without its tests.
func source(t *testing.T) []*ast.File {
	t.Helper()
	paths, err := fs.Glob(protocolDir(), "*.go")
	if err != nil || len(paths) == 0 {
		t.Fatalf("package protocol not found: %v", err)
	}
	var files []*ast.File
	for _, p := range paths {
		if strings.HasSuffix(p, "_test.go") {
			continue
		}
		src, err := fs.ReadFile(protocolDir(), p)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(token.NewFileSet(), p, src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// TestNoPayloadIsLeftOut: every exported struct with JSON tags is compared.
func TestNoPayloadIsLeftOut(t *testing.T) {
	known := map[string]bool{}
	for _, p := range payloads() {
		known[reflect.TypeOf(p).Name()] = true
	}
	for _, f := range source(t) {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() || known[spec.Name.Name] || slices.Contains(restOnly(), spec.Name.Name) {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok && tagged(s) {
				t.Errorf("protocol.%s is not compared: add it to payloads and to docs/asyncapi.yaml", spec.Name.Name)
			}
			return true
		})
	}
}

func tagged(s *ast.StructType) bool {
	return slices.ContainsFunc(s.Fields.List, func(f *ast.Field) bool {
		return f.Tag != nil && strings.Contains(f.Tag.Value, `json:"`)
	})
}

// constants returns the values of all constants of one type of package protocol.
func constants(t *testing.T, typ string) []string {
	t.Helper()
	var values []string
	for _, f := range source(t) {
		for _, d := range f.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.CONST {
				continue
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				if id, ok := spec.Type.(*ast.Ident); !ok || id.Name != typ {
					continue
				}
				v, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
				if err != nil {
					v = spec.Values[0].(*ast.BasicLit).Value
				}
				values = append(values, v)
			}
		}
	}
	if len(values) == 0 {
		t.Fatalf("package protocol has no constants of type %s", typ)
	}
	slices.Sort(values)
	return values
}

func TestEnumsMatchConstants(t *testing.T) {
	schemas := at(t, document(t), "components", "schemas")
	for _, name := range []string{"Code", "Reach", "Mode", "LeaveReason", "PeerState", "ConvKind", "ConvRole", "ConvWriters"} {
		var got []string
		for _, v := range at(t, schemas, name)["enum"].([]any) {
			got = append(got, v.(string))
		}
		slices.Sort(got)
		if want := constants(t, name); !slices.Equal(got, want) {
			t.Errorf("components/schemas/%s: enum is %q, package protocol has %q", name, got, want)
		}
	}
}

// consts returns all values of the "const" keyword under a property name.
func consts(doc object, property string) []string {
	var values []string
	visit(doc["components"], "", func(_ string, o object) {
		properties, _ := o["properties"].(object)
		p, _ := properties[property].(object)
		if c, ok := p["const"].(string); ok && !slices.Contains(values, c) {
			values = append(values, c)
		}
	})
	slices.Sort(values)
	return values
}

func TestEveryTypeAndKindHasAMessage(t *testing.T) {
	doc := document(t)
	if got, want := consts(doc, "t"), constants(t, "Type"); !slices.Equal(got, want) {
		t.Errorf("message types are %q, package protocol has %q", got, want)
	}
	if got, want := consts(doc, "kind"), constants(t, "SignalKind"); !slices.Equal(got, want) {
		t.Errorf("signal kinds are %q, package protocol has %q", got, want)
	}
}

func TestCloseCodes(t *testing.T) {
	list := at(t, document(t), "channels", "ws")["x-close-codes"].([]any)
	var got []string
	for _, v := range list {
		row := v.(object)
		code, err := row["code"].(json.Number).Int64()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, strconv.FormatInt(code, 10))
		if want := protocol.CloseCode(code).Reconnect(); row["reconnect"] != want {
			t.Errorf("close code %d: reconnect is %v, want %t", code, row["reconnect"], want)
		}
	}
	slices.Sort(got)
	if want := constants(t, "CloseCode"); !slices.Equal(got, want) {
		t.Errorf("close codes are %v, package protocol has %v", got, want)
	}
}

func TestLimits(t *testing.T) {
	schemas := at(t, document(t), "components", "schemas")
	for _, c := range []struct {
		schema, property, keyword string
		want                      int
	}{
		{"Find", "tags", "maxItems", protocol.MaxTags},
		{"Find", "languages", "maxItems", protocol.MaxLanguages},
		{"RoomCreate", "capacity", "maximum", protocol.MaxRoomCapacity},
		{"RoomCreate", "passcode", "maxLength", protocol.MaxPasscodeBytes},
		{"RoomJoin", "passcode", "maxLength", protocol.MaxPasscodeBytes},
		{"ChatQuery", "limit", "maximum", protocol.MaxHistory},
		{"ConvTranslate", "messages", "maxItems", protocol.MaxTranslateBatch},
		{"ConvSend", "files", "maxItems", protocol.MaxFilesPerText},
	} {
		got := at(t, schemas, c.schema, "properties", c.property)[c.keyword]
		if fmt.Sprint(got) != strconv.Itoa(c.want) {
			t.Errorf("%s.%s: %s is %v, package protocol has %d", c.schema, c.property, c.keyword, got, c.want)
		}
	}
	pattern := at(t, schemas, "ChatSend", "properties", "cid")["pattern"].(string)
	if !strings.Contains(pattern, fmt.Sprintf("{1,%d}", protocol.MaxCIDBytes)) {
		t.Errorf("ChatSend.cid: pattern %s does not say %d", pattern, protocol.MaxCIDBytes)
	}
}
