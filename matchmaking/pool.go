package matchmaking

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-chat/rondo/protocol"
)

// Step is a step of the widening schedule.
type Step struct {
	After time.Duration // since the start of the search
	Reach protocol.Reach
}

// PoolConfig describes a pool: what never widens. People of different pools
// never meet.
type PoolConfig struct {
	Name      string        // [a-z0-9_-], at most 32 bytes
	Mode      protocol.Mode // default video
	Traits    []string      // what people can be and wish for, at most MaxTraits; none: no such filter
	RelayOnly bool          // media through TURN only

	// Schedule says when a search widens: from 0 on, later and wider with each
	// step. Default: tags, language after 5 s, anyone after 15 s.
	Schedule []Step

	// RecentRelief is how long recent partners are avoided where nobody else
	// fits. Default 3 s.
	RecentRelief time.Duration
}

// MaxTraits bounds the traits of a pool, so that wishes fit into MaxTerms.
const MaxTraits = 4

const (
	maxNameBytes  = 32
	maxTraitBytes = 16
	maxSteps      = 8
)

// DefaultSchedule is the schedule of a pool that names none.
func DefaultSchedule() []Step {
	return []Step{{0, protocol.ReachTags}, {5 * time.Second, protocol.ReachLanguage}, {15 * time.Second, protocol.ReachAnyone}}
}

// withDefaults fills in what is not set and checks the rest.
func (c PoolConfig) withDefaults() (PoolConfig, error) {
	if c.Mode == "" {
		c.Mode = protocol.ModeVideo
	}
	if len(c.Schedule) == 0 {
		c.Schedule = DefaultSchedule()
	}
	if c.RecentRelief == 0 {
		c.RecentRelief = 3 * time.Second
	}
	c.Traits, c.Schedule = slices.Clone(c.Traits), slices.Clone(c.Schedule)
	if err := errors.Join(c.checkNames(), c.checkSchedule()); err != nil {
		return c, fmt.Errorf("pool %q: %w", c.Name, err)
	}
	return c, nil
}

func (c PoolConfig) checkNames() error {
	if !isWord(c.Name, maxNameBytes) {
		return fmt.Errorf("name: 1 to %d of a-z, 0-9, _ and -", maxNameBytes)
	}
	switch c.Mode {
	case protocol.ModeVideo, protocol.ModeAudio, protocol.ModeText:
	default:
		return fmt.Errorf("mode %q: video, audio or text", c.Mode)
	}
	if len(c.Traits) > MaxTraits {
		return fmt.Errorf("traits: at most %d", MaxTraits)
	}
	for i, t := range c.Traits {
		if !isWord(t, maxTraitBytes) || t == noTrait || slices.Contains(c.Traits[:i], t) {
			return fmt.Errorf("trait %q: once, 1 to %d of a-z, 0-9, _ and -, not %q", t, maxTraitBytes, noTrait)
		}
	}
	return nil
}

func (c PoolConfig) checkSchedule() error {
	if len(c.Schedule) > maxSteps {
		return fmt.Errorf("schedule: at most %d steps", maxSteps)
	}
	for i, s := range c.Schedule {
		switch {
		case rank(s.Reach) < 0:
			return fmt.Errorf("schedule: reach %q: tags, language or anyone", s.Reach)
		case i == 0 && s.After != 0:
			return errors.New("schedule: the first step is after 0")
		case i > 0 && (s.After <= c.Schedule[i-1].After || rank(s.Reach) <= rank(c.Schedule[i-1].Reach)):
			return errors.New("schedule: each step is later and wider than the one before")
		}
	}
	if c.RecentRelief < 0 {
		return errors.New("recent relief: not negative")
	}
	return nil
}

// public is the pool as clients see it.
func (c PoolConfig) public() protocol.Pool {
	p := protocol.Pool{Name: c.Name, Mode: c.Mode, Traits: append([]string{}, c.Traits...), RelayOnly: c.RelayOnly}
	for _, s := range c.Schedule {
		p.Schedule = append(p.Schedule, protocol.Widen{AfterMS: s.After.Milliseconds(), Reach: s.Reach})
	}
	return p
}

// reach says how far a search has widened after it waited so long, and the next
// step, if there is one. A search starts no narrower than it has wishes.
func (c PoolConfig) reach(p Profile, waited time.Duration) (protocol.Reach, *Step) {
	reach := p.narrowest()
	if p.Strict {
		return reach, nil
	}
	for _, s := range c.Schedule {
		if rank(s.Reach) <= rank(reach) {
			continue
		}
		if s.After > waited {
			return reach, &s
		}
		reach = s.Reach
	}
	return reach, nil
}

// narrowest is the reach at which a search starts: without tags there is none
// to share, without languages too there is nothing to wait for.
func (p Profile) narrowest() protocol.Reach {
	switch {
	case len(p.Tags) > 0:
		return protocol.ReachTags
	case len(p.Languages) > 0:
		return protocol.ReachLanguage
	}
	return protocol.ReachAnyone
}

// rank orders reaches from narrow to wide; -1 for what is none.
func rank(r protocol.Reach) int {
	switch r {
	case protocol.ReachTags:
		return 0
	case protocol.ReachLanguage:
		return 1
	case protocol.ReachAnyone:
		return 2
	}
	return -1
}

// check refuses a profile that the pool cannot serve.
func (c PoolConfig) check(p Profile) error {
	if len(p.Tags) > protocol.MaxTags {
		return protocol.Errorf(protocol.CodeBadRequest, "tags: at most %d", protocol.MaxTags)
	}
	if len(p.Languages) > protocol.MaxLanguages {
		return protocol.Errorf(protocol.CodeBadRequest, "languages: at most %d", protocol.MaxLanguages)
	}
	for _, t := range p.Tags {
		if !isText(t) {
			return protocol.Errorf(protocol.CodeBadRequest, "tags: empty, too long or with control characters")
		}
	}
	for _, l := range p.Languages {
		if !isWord(l, maxLanguageBytes) {
			return protocol.Errorf(protocol.CodeBadRequest, "languages: a primary language such as en")
		}
	}
	if p.Trait != "" && !slices.Contains(c.Traits, p.Trait) {
		return protocol.Errorf(protocol.CodeBadRequest, "trait: not one of the pool's")
	}
	for _, w := range p.Want {
		if !slices.Contains(c.Traits, w) {
			return protocol.Errorf(protocol.CodeBadRequest, "want: not one of the pool's traits")
		}
	}
	return nil
}

// partSep stands between the name of a pool and the number of its part, if that is not the first.
const partSep = "."

// isPart reports whether s names a part of a pool.
func isPart(s string) bool {
	name, number, more := strings.Cut(s, partSep)
	if !isWord(name, maxNameBytes) {
		return false
	}
	n, err := strconv.Atoi(number)
	return !more || err == nil && n > 0 && n < MaxParts && strconv.Itoa(n) == number
}

// isWord reports whether s is made of 1 to limit of [a-z0-9_-].
func isWord(s string, limit int) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= limit
}

// isText reports whether s can be a tag.
func isText(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return false
		}
	}
	return len(s) > 0 && len(s) <= maxTagBytes
}
