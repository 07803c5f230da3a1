// Package protocol is a fixture.
package protocol

import (
	_ "fmt"

	_ "golang.org/x/text/unicode/norm" // want floors
)

// Error is an error.
type Error struct{ Code string }

func (e *Error) Error() string { return e.Code }

// Errorf makes an Error.
func Errorf(code string) *Error { return &Error{code} }
