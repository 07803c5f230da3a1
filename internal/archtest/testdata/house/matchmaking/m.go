// Package matchmaking is a fixture.
package matchmaking
