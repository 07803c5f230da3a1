package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestCapacity: each number of capacity.md that follows from others does follow from them, within what rounding to
// two digits leaves. Numbers stand in the first two columns of its tables, and how they follow in the third.
func TestCapacity(t *testing.T) {
	raw, err := os.ReadFile("capacity.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]float64{}
	given, derived := 0, 0
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) < 5 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		name := strings.Trim(strings.TrimSpace(cells[1]), "`")
		value, err := strconv.ParseFloat(strings.ReplaceAll(strings.TrimSpace(cells[2]), ",", ""), 64)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, twice := known[name]; twice {
			t.Errorf("%s is there twice", name)
		}
		if how, ok := strings.CutPrefix(strings.TrimSpace(cells[3]), "= "); ok {
			derived++
			got, err := compute(strings.Trim(how, "`"), known)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if math.Abs(got-value) > 0.05*math.Abs(got) {
				t.Errorf("%s is %v there, and follows as %.4g", name, value, got)
			}
		} else {
			given++
		}
		known[name] = value
	}
	if given < 15 || derived < 15 {
		t.Errorf("%d numbers are given and %d derived: the tables have another form", given, derived)
	}
}

// compute evaluates +, -, *, / and parentheses over numbers and names.
func compute(text string, known map[string]float64) (float64, error) {
	e, err := parser.ParseExpr(text)
	if err != nil {
		return 0, err
	}
	return value(e, known)
}

func value(e ast.Expr, known map[string]float64) (float64, error) {
	switch e := e.(type) {
	case *ast.ParenExpr:
		return value(e.X, known)
	case *ast.BasicLit:
		return strconv.ParseFloat(e.Value, 64)
	case *ast.Ident:
		if v, ok := known[e.Name]; ok {
			return v, nil
		}
		return 0, fmt.Errorf("%s is not above", e.Name)
	case *ast.BinaryExpr:
		x, err := value(e.X, known)
		if err != nil {
			return 0, err
		}
		y, err := value(e.Y, known)
		if err != nil {
			return 0, err
		}
		switch e.Op {
		case token.ADD:
			return x + y, nil
		case token.SUB:
			return x - y, nil
		case token.MUL:
			return x * y, nil
		case token.QUO:
			return x / y, nil
		}
	}
	return 0, fmt.Errorf("%T is no arithmetic", e)
}
