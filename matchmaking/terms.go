package matchmaking

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"github.com/rondo-chat/rondo/protocol"
)

// Term is a word under which a ticket is listed. It has no byte below 0x1f.
type Term string

// Bounds of terms: a ticket offers, and seeks, at most MaxTerms terms of at
// most MaxTermBytes bytes.
const (
	MaxTerms     = 64
	MaxTermBytes = 96
)

const (
	maxTagBytes      = 1024 // 24 characters can be long; how long is not our question
	maxPlainTag      = 40   // longer tags stand in terms as a digest
	maxLanguageBytes = 8

	noTrait = "_" // who has not said what they are
	anyone  = "*"
	some    = "+" // in place of a language: I speak one
	sep     = "\x1f"
)

// Terms returns what a search offers and seeks when it has widened to reach.
// For any two searches a and b of a pool, a seeks a term that b offers exactly
// when b seeks one that a offers, and exactly when the two fit:
//
//   - both ways, the trait of one is among those that the other wants, where it
//     wants any in particular (only in a pool with traits);
//   - and they share a tag and their languages fit; or their languages fit,
//     and one of them has widened to language and the other allows it; or one
//     has widened to anyone and the other allows it. Languages fit if they
//     have one in common or either has none. Who is strict allows only what it
//     starts with.
//
// So a search that has widened also takes, and is taken by, those who have not.
// A wish for so many traits, languages and tags that it would need more than
// MaxTerms counts without the last languages, then without the last tags.
func Terms(p Profile, traited bool, reach protocol.Reach) (offers, seeks []Term) {
	p = narrow(p, traited)
	f := folder{p: p, traited: traited}
	f.tags()
	f.language(reach)
	f.anyone(reach)
	return f.offers, f.seeks
}

// narrow drops from the end of languages and tags what has no room in MaxTerms.
func narrow(p Profile, traited bool) Profile {
	if !traited || len(p.Want) == 0 {
		return p
	}
	for {
		f := folder{p: p, traited: true}
		f.tags()
		f.language(protocol.ReachLanguage) // where there are most
		f.anyone(protocol.ReachLanguage)
		switch {
		case max(len(f.offers), len(f.seeks)) <= MaxTerms:
			return p
		case len(p.Languages) > 1:
			p.Languages = p.Languages[:len(p.Languages)-1]
		case len(p.Tags) > 1:
			p.Tags = p.Tags[:len(p.Tags)-1]
		default:
			return p // MaxTraits is chosen so that this does not happen
		}
	}
}

// folder gathers terms.
type folder struct {
	p       Profile
	traited bool
	offers  []Term
	seeks   []Term
}

// tags adds the terms of those who share a tag and a language.
func (f *folder) tags() {
	for _, tag := range f.p.Tags {
		tag = shortTag(tag)
		for _, l := range f.spoken() {
			f.offer("t" + sep + l + sep + tag)
		}
		for _, l := range f.understood() {
			f.seek("t" + sep + l + sep + tag)
		}
	}
}

// language adds the terms of those who share a language, if p allows it. Who
// has widened so far ("r") finds all who allow it, the others ("p") only those
// who have.
func (f *folder) language(reach protocol.Reach) {
	reached := rank(reach) >= rank(protocol.ReachLanguage)
	if f.p.Strict && !reached {
		return
	}
	for _, l := range f.spoken() {
		if reached {
			f.offer("lr" + sep + l)
		} else {
			f.offer("lp" + sep + l)
		}
	}
	for _, l := range f.understood() {
		f.seek("lr" + sep + l)
		// Whoever allows language, but has not reached it, is not strict and
		// so allows anyone: at that reach one finds them there.
		if reached && reach != protocol.ReachAnyone {
			f.seek("lp" + sep + l)
		}
	}
}

// anyone adds the terms of those who take anybody, if p allows it.
func (f *folder) anyone(reach protocol.Reach) {
	reached := reach == protocol.ReachAnyone
	if f.p.Strict && !reached {
		return
	}
	f.seek("ar")
	if !reached {
		f.offer("ap")
		return
	}
	f.offer("ar")
	f.seek("ap")
}

// spoken are the languages to offer: each, and that there is one.
func (f *folder) spoken() []string {
	if len(f.p.Languages) == 0 {
		return []string{anyone}
	}
	return append(slices.Clone(f.p.Languages), some)
}

// understood are the languages to seek: each and those who speak any, or all.
func (f *folder) understood() []string {
	if len(f.p.Languages) == 0 {
		return []string{anyone, some}
	}
	return append(slices.Clone(f.p.Languages), anyone)
}

// offer adds a term, in a pool with traits as "what I am > whom I want": both
// as it is and with a wildcard for those who do not care what I am.
func (f *folder) offer(term string) {
	if !f.traited {
		f.offers = append(f.offers, Term(term))
		return
	}
	for _, w := range f.wanted() {
		f.offers = append(f.offers, Term(term+sep+f.trait()+">"+w), Term(term+sep+anyone+">"+w))
	}
}

// seek is the mirror of offer: "whom I want > what I am", or who wants anyone.
func (f *folder) seek(term string) {
	if !f.traited {
		f.seeks = append(f.seeks, Term(term))
		return
	}
	for _, w := range f.wanted() {
		f.seeks = append(f.seeks, Term(term+sep+w+">"+f.trait()), Term(term+sep+w+">"+anyone))
	}
}

func (f *folder) wanted() []string {
	if len(f.p.Want) == 0 {
		return []string{anyone}
	}
	return f.p.Want
}

func (f *folder) trait() string {
	if f.p.Trait == "" {
		return noTrait
	}
	return f.p.Trait
}

// shortTag is the tag as it stands in terms.
func shortTag(tag string) string {
	if len(tag) <= maxPlainTag {
		return tag
	}
	sum := sha256.Sum256([]byte(tag))
	return sep + hex.EncodeToString(sum[:16])
}
