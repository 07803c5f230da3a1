package matchmaking_test

import (
	"testing"
	"time"
)

func TestCrowdOnOneNode(t *testing.T)  { town(t, 1, nil).Crowd(1000, 20*time.Second) }
func TestCrowdOnTwoNodes(t *testing.T) { town(t, 2, nil).Crowd(1000, 20*time.Second) }
