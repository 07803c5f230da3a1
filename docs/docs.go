// Package docs holds the interface documents that the server itself serves.
package docs

import (
	_ "embed" // for the document
)

// OpenAPI is docs/openapi.yaml: the REST interface.
//
//go:embed openapi.yaml
var OpenAPI string
