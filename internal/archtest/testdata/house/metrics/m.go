// Package metrics is a fixture.
package metrics
