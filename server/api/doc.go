// Package api is the REST interface of accounts, docs/openapi.yaml.
package api
