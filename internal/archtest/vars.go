package archtest

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// constructors make values that nobody can change afterwards.
func constructors() map[string][]string {
	return map[string][]string{
		"errors":                               {"New"},
		"fmt":                                  {"Errorf"},
		"regexp":                               {"MustCompile"},
		"strings":                              {"NewReplacer"},
		"time":                                 {"Unix", "UnixMilli", "Date"},
		"net/netip":                            {"MustParsePrefix", "MustParseAddr", "MustParseAddrPort", "PrefixFrom", "AddrFrom4", "AddrFrom16", "AddrFromSlice"},
		"html/template":                        {"Must"},
		"text/template":                        {"Must"},
		"encoding/base32":                      {"NewEncoding"},
		"encoding/base64":                      {"NewEncoding"},
		"github.com/redis/go-redis/v9":         {"NewScript"},
		"golang.org/x/text/language":           {"MustParse", "MustParseBase", "NewMatcher"},
		"golang.org/x/sys/unix":                {"CmsgSpace", "CmsgLen"},
		"github.com/rondo-chat/rondo/protocol": {"Errorf"},
	}
}

// values are variables of other packages that are constants in all but name.
func values() map[string][]string {
	return map[string][]string{
		"encoding/base32": {"StdEncoding", "HexEncoding"},
		"encoding/base64": {"StdEncoding", "URLEncoding", "RawStdEncoding", "RawURLEncoding"},
		"encoding/binary": {"BigEndian", "LittleEndian"},
	}
}

// vars finds package variables that are, or could be, changed: what two servers
// in one process would share.
func (t *Tree) vars() []Finding {
	written := t.written()
	var found []Finding
	for _, f := range t.files() {
		for _, d := range f.syntax.Decls {
			decl, ok := d.(*ast.GenDecl)
			if !ok || decl.Tok != token.VAR {
				continue
			}
			for _, s := range decl.Specs {
				spec := s.(*ast.ValueSpec)
				found = append(found, t.varSpec(f, decl, spec, written)...)
			}
		}
	}
	return found
}

func (t *Tree) varSpec(f *file, decl *ast.GenDecl, spec *ast.ValueSpec, written map[string]Finding) []Finding {
	if embeds(decl.Doc) || embeds(spec.Doc) {
		return nil
	}
	var found []Finding
	for i, name := range spec.Names {
		if name.Name == "_" {
			continue
		}
		if w, ok := written[f.pkg.Path()+"."+name.Name]; ok {
			found = append(found, t.find(RuleVars, f, name, "package variable %s is changed (%s:%d): keep it in a struct that a constructor makes", name.Name, w.File, w.Line))
			continue
		}
		var why string
		switch {
		case i >= len(spec.Values):
			why = "has no value of its own"
		case isConstant(spec.Values[i]) && top(f.folder.path) != "cmd": // cmd's are set by the linker
			why = "never changes: make it a const"
		default:
			why = f.mutableVar(spec.Values[i])
		}
		if why != "" {
			found = append(found, t.find(RuleVars, f, name, "package variable %s %s: use a constant, a function that returns it, or a struct field (allowed: error sentinels, embedded files, compiled patterns, tables that are never assigned)", name.Name, why))
		}
	}
	return found
}

func embeds(doc *ast.CommentGroup) bool {
	if doc == nil {
		return false
	}
	return slices.ContainsFunc(doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// isConstant reports whether e is built of literals alone, so that const would do.
func isConstant(e ast.Expr) bool {
	switch e := ast.Unparen(e).(type) {
	case *ast.BasicLit:
		return true
	case *ast.UnaryExpr:
		return e.Op != token.AND && isConstant(e.X)
	case *ast.BinaryExpr:
		return isConstant(e.X) && isConstant(e.Y)
	case *ast.Ident:
		return e.Name == "true" || e.Name == "false"
	}
	return false
}

// mutableVar says why a variable with this value is no constant or table.
func (f *file) mutableVar(e ast.Expr) string {
	switch e := ast.Unparen(e).(type) {
	case *ast.FuncLit:
		return "is a function that can be exchanged"
	case *ast.Ident:
		return "is another name for " + e.Name
	case *ast.SelectorExpr:
		if pkg, name := f.qualified(e); !slices.Contains(values()[pkg], name) {
			return "is another name for " + types.ExprString(e)
		}
		return ""
	}
	return f.mutable(e)
}

// mutable says why a value within a table could change, "" if it cannot.
func (f *file) mutable(e ast.Expr) string {
	switch e := ast.Unparen(e).(type) {
	case *ast.BasicLit, *ast.FuncLit:
		return ""
	case *ast.UnaryExpr:
		if e.Op == token.AND {
			return f.mutablePointer(e.X)
		}
		return f.mutable(e.X)
	case *ast.BinaryExpr:
		if why := f.mutable(e.X); why != "" {
			return why
		}
		return f.mutable(e.Y)
	case *ast.KeyValueExpr:
		return f.mutable(e.Value)
	case *ast.Ident:
		return ""
	case *ast.SelectorExpr:
		return ""
	case *ast.IndexExpr:
		return f.mutable(e.X)
	case *ast.CompositeLit:
		return f.mutableLiteral(e)
	case *ast.CallExpr:
		return f.mutableCall(e)
	}
	return "has a value that may change"
}

// mutablePointer allows pointers to error literals only.
func (f *file) mutablePointer(e ast.Expr) string {
	lit, ok := e.(*ast.CompositeLit)
	if ok && strings.HasSuffix(types.ExprString(lit.Type), "Error") {
		return f.mutableLiteral(lit)
	}
	return "points to something that may change"
}

// mutableLiteral checks a table and what is in it.
func (f *file) mutableLiteral(e *ast.CompositeLit) string {
	if sel, ok := e.Type.(*ast.SelectorExpr); ok {
		pkg, name := f.qualified(sel)
		if !strings.Contains(pkg, "rondo-chat/rondo") {
			return "is a " + pkg + "." + name + ", which has state"
		}
	}
	if t := f.info.TypeOf(e); t != nil {
		if why := stateful(t, 0); why != "" {
			return why
		}
	}
	for _, element := range e.Elts {
		if why := f.mutable(element); why != "" {
			return why
		}
	}
	return ""
}

// stateful says why values of a type are state and no table.
func stateful(t types.Type, depth int) string {
	if depth > 4 {
		return ""
	}
	switch u := t.Underlying().(type) {
	case *types.Chan:
		return "holds a channel"
	case *types.Struct:
		for field := range u.Fields() {
			if field.Pkg() != nil && isLock(field) {
				return "holds a lock"
			}
			if why := stateful(field.Type(), depth+1); why != "" {
				return why
			}
		}
	}
	return ""
}

// constantLike reports whether values of a type are plain data or functions.
func constantLike(t types.Type, depth int) bool {
	if t == nil || depth > 4 {
		return false
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() != types.Invalid
	case *types.Signature:
		return true
	case *types.Slice:
		return constantLike(u.Elem(), depth+1)
	case *types.Array:
		return constantLike(u.Elem(), depth+1)
	case *types.Map:
		return constantLike(u.Key(), depth+1) && constantLike(u.Elem(), depth+1)
	case *types.Struct:
		return stateful(t, depth) == ""
	}
	return false
}

func isLock(v *types.Var) bool {
	return v.Name() == "mu" || v.Name() == "Mutex" || v.Name() == "RWMutex" || v.Name() == "once"
}

// mutableCall allows conversions, len and the like, and the constructors of
// values that cannot change, also with methods called on these.
func (f *file) mutableCall(call *ast.CallExpr) string {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.ArrayType, *ast.MapType:
		return f.mutableArgs(call)
	case *ast.Ident:
		switch f.info.Uses[fun].(type) {
		case *types.TypeName:
			return f.mutableArgs(call)
		case *types.Builtin:
			if fun.Name == "make" || fun.Name == "new" {
				return "is filled later"
			}
			return f.mutableArgs(call)
		}
		if f.test && constantLike(f.info.TypeOf(call), 0) {
			return "" // a test's table may be computed
		}
		return "is made by " + fun.Name + "()"
	case *ast.IndexExpr:
		return "is made by " + types.ExprString(fun) + "()"
	case *ast.SelectorExpr:
		return f.mutableQualifiedCall(call, fun)
	}
	return "is made by a call"
}

func (f *file) mutableQualifiedCall(call *ast.CallExpr, fun *ast.SelectorExpr) string {
	pkg, name := f.qualified(fun)
	switch {
	case slices.Contains(constructors()[pkg], name):
		return ""
	case pkg == "sync" && strings.HasPrefix(name, "OnceValue") && f.test:
		return "" // a test's costly constant, e.g. a built binary
	case pkg != "":
		if _, isType := f.info.Uses[fun.Sel].(*types.TypeName); isType {
			return f.mutableArgs(call)
		}
		return "is made by " + pkg + "." + name + "()"
	}
	// A method: of an allowed constructor's result or of a constant value.
	switch x := ast.Unparen(fun.X).(type) {
	case *ast.CallExpr:
		return f.mutableCall(x)
	case *ast.SelectorExpr:
		p, n := f.qualified(x)
		if slices.Contains(values()[p], n) {
			return ""
		}
	}
	return "is made by " + types.ExprString(fun) + "()"
}

func (f *file) mutableArgs(call *ast.CallExpr) string {
	for _, a := range call.Args {
		if why := f.mutable(a); why != "" {
			return why
		}
	}
	return ""
}

// written returns where package variables are changed in place: assigned (also
// an element or a field), counted up, deleted from, cleared, copied into, their
// address taken, or a pointer method called. The key is "import/path.name".
func (t *Tree) written() map[string]Finding {
	w := map[string]Finding{}
	for _, f := range t.files() {
		mark := func(e ast.Expr) {
			if key := f.packageVar(e); key != "" {
				if _, known := w[key]; !known {
					w[key] = t.find(RuleVars, f, e, "")
				}
			}
		}
		inspect(f, func(n ast.Node, _ []ast.Node) {
			for _, e := range f.changes(n) {
				mark(e)
			}
		})
	}
	return w
}

// changes returns the expressions that a node changes.
func (f *file) changes(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		return n.Lhs
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.SendStmt:
		return []ast.Expr{n.Chan}
	case *ast.RangeStmt:
		if n.Tok == token.ASSIGN {
			return []ast.Expr{n.Key, n.Value}
		}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			if _, literal := ast.Unparen(n.X).(*ast.CompositeLit); !literal {
				return []ast.Expr{n.X}
			}
		}
	case *ast.CallExpr:
		if id, ok := n.Fun.(*ast.Ident); ok && len(n.Args) > 0 {
			if _, builtin := f.info.Uses[id].(*types.Builtin); builtin && slices.Contains([]string{"delete", "clear", "copy", "close"}, id.Name) {
				return n.Args[:1]
			}
		}
	case *ast.SelectorExpr:
		if s := f.info.Selections[n]; s != nil && s.Kind() == types.MethodVal {
			_, pointer := s.Obj().(*types.Func).Signature().Recv().Type().(*types.Pointer)
			_, isPointer := s.Recv().Underlying().(*types.Pointer)
			if pointer && !isPointer {
				return []ast.Expr{n.X}
			}
		}
	}
	return nil
}

// packageVar returns the key of the package variable that e is or is a part of.
func (f *file) packageVar(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.ParenExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.SliceExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.SelectorExpr:
			if key := f.varKey(x.Sel); key != "" {
				return key
			}
			e = x.X
		case *ast.Ident:
			return f.varKey(x)
		default:
			return ""
		}
	}
}

func (f *file) varKey(id *ast.Ident) string {
	v, ok := f.info.Uses[id].(*types.Var)
	if !ok || v.Pkg() == nil || v.Parent() != v.Pkg().Scope() {
		return ""
	}
	return v.Pkg().Path() + "." + v.Name()
}
