package matchmaking

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/protocol"
)

// hits reports whether a term is on both lists.
func hits(seeks, offers []Term) bool {
	for _, t := range seeks {
		if slices.Contains(offers, t) {
			return true
		}
	}
	return false
}

// fits says in plain words when two searches fit: what Terms promises.
func fits(a, b Profile, ra, rb protocol.Reach, traited bool) bool {
	if traited {
		wants := func(p, o Profile) bool { return len(p.Want) == 0 || slices.Contains(p.Want, o.Trait) }
		if !wants(a, b) || !wants(b, a) {
			return false
		}
	}
	common := func(x, y []string) bool {
		return slices.ContainsFunc(x, func(s string) bool { return slices.Contains(y, s) })
	}
	language := len(a.Languages) == 0 || len(b.Languages) == 0 || common(a.Languages, b.Languages)
	if language && common(a.Tags, b.Tags) {
		return true
	}
	agreed := func(r protocol.Reach) bool {
		reached := func(x protocol.Reach) bool { return rank(x) >= rank(r) }
		allows := func(p Profile, x protocol.Reach) bool { return !p.Strict || reached(x) }
		return reached(ra) && allows(b, rb) || reached(rb) && allows(a, ra)
	}
	return language && agreed(protocol.ReachLanguage) || agreed(protocol.ReachAnyone)
}

// randomSearch makes a profile and a reach that it can have.
func randomSearch(rng *rand.Rand, traits []string) (Profile, protocol.Reach) {
	some := func(most int, words ...string) (list []string) {
		n := rng.IntN(most + 1)
		for _, i := range rng.Perm(len(words))[:min(n, len(words))] {
			list = append(list, words[i])
		}
		return list
	}
	p := Profile{
		Tags: some(3, "jazz", "go", "tea", "chess", strings.Repeat("ü", 60), strings.Repeat("ü", 61)), Languages: some(2, "en", "de", "fr", "tlh"),
		Strict: rng.IntN(3) == 0,
	}
	if len(traits) > 0 {
		p.Want = some(len(traits), traits...)
		if rng.IntN(4) > 0 {
			p.Trait = traits[rng.IntN(len(traits))]
		}
	}
	reach := p.narrowest()
	all := []protocol.Reach{protocol.ReachTags, protocol.ReachLanguage, protocol.ReachAnyone}
	if wider := all[rng.IntN(3)]; !p.Strict && rank(wider) > rank(reach) {
		reach = wider
	}
	return p, reach
}

func checkTerms(t *testing.T, terms ...[]Term) {
	t.Helper()
	for _, list := range terms {
		if len(list) == 0 || len(list) > MaxTerms {
			t.Fatalf("%d terms", len(list))
		}
		for i, term := range list {
			if !plain(string(term), MaxTermBytes) || slices.Contains(list[:i], term) {
				t.Fatalf("term %q", term)
			}
		}
	}
}

// Terms find each other exactly when the searches fit, seen from either side.
func TestTermsAreSymmetric(t *testing.T) {
	for _, traits := range [][]string{nil, {"f", "m"}, {"a", "b", "c", "d"}} {
		rng := rand.New(rand.NewPCG(1, uint64(len(traits))))
		matched := 0
		const n = 12_000
		for range n {
			a, ra := randomSearch(rng, traits)
			b, rb := randomSearch(rng, traits)
			traited := len(traits) > 0
			offersA, seeksA := Terms(a, traited, ra)
			offersB, seeksB := Terms(b, traited, rb)
			checkTerms(t, offersA, seeksA, offersB, seeksB)
			ab, ba := hits(seeksA, offersB), hits(seeksB, offersA)
			want := fits(narrow(a, traited), narrow(b, traited), ra, rb, traited)
			if ab != want || ba != want {
				t.Fatalf("%+v at %s and %+v at %s: %v and %v, want %v", a, ra, b, rb, ab, ba, want)
			}
			if want {
				matched++
			}
		}
		if matched < n/20 || matched > n*19/20 {
			t.Errorf("%d traits: %d of %d fit: the test tests little", len(traits), matched, n)
		}
	}
}

// A wish is narrowed only where it has no room, never in its traits.
func TestNarrow(t *testing.T) {
	full := Profile{Tags: []string{"a", "b", "c"}, Languages: []string{"en", "de"}}
	for want, left := range map[string]string{"": "3 2", "a": "3 2", "ab": "3 2", "abc": "2 1", "abcd": "1 1"} {
		p := full
		p.Want = strings.Split(want, "")
		if want == "" {
			p.Want = nil
		}
		n := narrow(p, true)
		if got := fmt.Sprint(len(n.Tags), len(n.Languages)); got != left || !slices.Equal(n.Want, p.Want) {
			t.Errorf("want %q: %s tags and languages left, want %s", want, got, left)
		}
	}
}

// How many terms people of some kinds have: more cost more.
func TestNumberOfTerms(t *testing.T) {
	for name, c := range map[string]struct {
		p       Profile
		traited bool
		reach   protocol.Reach
		want    string
	}{
		"nothing":            {Profile{}, false, protocol.ReachAnyone, "2 4"},
		"nothing, traits":    {Profile{Trait: "f"}, true, protocol.ReachAnyone, "4 8"},
		"wants one":          {Profile{Trait: "f", Want: []string{"m"}}, true, protocol.ReachAnyone, "4 8"},
		"language":           {Profile{Languages: []string{"en"}}, false, protocol.ReachLanguage, "3 5"},
		"two and three tags": {Profile{Languages: []string{"en", "de"}, Tags: []string{"a", "b", "c"}}, false, protocol.ReachTags, "13 13"},
		"widened":            {Profile{Languages: []string{"en", "de"}, Tags: []string{"a", "b", "c"}}, false, protocol.ReachLanguage, "13 16"},
		"strict":             {Profile{Languages: []string{"en"}, Tags: []string{"a"}, Strict: true}, false, protocol.ReachTags, "2 2"},
	} {
		offers, seeks := Terms(c.p, c.traited, c.reach)
		if got := fmt.Sprint(len(offers), len(seeks)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// FuzzTerms holds Terms to its promise for profiles as they come.
func FuzzTerms(f *testing.F) {
	f.Add("jazz", "go", "en", "f", "m", uint8(3), "jazz", "tea", "", "m", "f", uint8(0))
	f.Add("", "", "", "", "", uint8(0), "a", "", "de", "", "", uint8(7))
	f.Add("*", "+", "x", "_", "", uint8(9), "+", "*", "x", "", "_", uint8(1))
	f.Add("a>b", ">", "en", "f", "f", uint8(2), "a", "b", "en", "f", "", uint8(2))
	f.Fuzz(func(t *testing.T, tag1, tag2, lang, trait, want string, bits uint8, tag3, tag4, lang2, trait2, want2 string, bits2 uint8) {
		pool, err := PoolConfig{Name: "p", Traits: []string{"f", "m", "x"}}.withDefaults()
		if err != nil {
			t.Fatal(err)
		}
		one := func(tag1, tag2, lang, trait, want string, bits uint8) (Profile, protocol.Reach, bool) {
			p := Profile{Trait: trait, Strict: bits&1 != 0}
			for list, v := range map[*[]string][]string{&p.Tags: {tag1, tag2}, &p.Languages: {lang}, &p.Want: {want}} {
				for _, s := range v {
					if s != "" && !slices.Contains(*list, s) {
						*list = append(*list, s)
					}
				}
			}
			reach, _ := pool.reach(p, DefaultSchedule()[int(bits>>1)%3].After)
			return p, reach, pool.check(p) == nil
		}
		a, ra, okA := one(tag1, tag2, lang, trait, want, bits)
		b, rb, okB := one(tag3, tag4, lang2, trait2, want2, bits2)
		if !okA || !okB {
			return
		}
		offersA, seeksA := Terms(a, true, ra)
		offersB, seeksB := Terms(b, true, rb)
		checkTerms(t, offersA, seeksA, offersB, seeksB)
		if want := fits(a, b, ra, rb, true); hits(seeksA, offersB) != want || hits(seeksB, offersA) != want {
			t.Fatalf("%+v at %s and %+v at %s: want %v", a, ra, b, rb, want)
		}
	})
}
