package mail

import (
	"embed"
	"errors"
	"fmt"
	htmltemplate "html/template"
	"net/url"
	"slices"
	"strings"
	"text/template"
	"unicode"
)

// Each text is a file of paragraphs, the first of which is the subject; [code]
// and [facts] stand for what is set apart. The plain and the HTML form are made
// of the same paragraphs, so they cannot say different things.
//
//go:embed templates
var files embed.FS

// rendered is a mail as it is sent.
type rendered struct {
	ID       string
	To       string
	Subject  string // constant for a template, a language and a service: nothing personal
	Text     string
	HTML     string
	Template Template
	Code     string // for the driver Print
}

// page is what the layout shows.
type page struct {
	Language, Subject, Greeting, Service, URL, Site string
	Parts                                           []part
}

// part is a paragraph: one of the three is set.
type part struct {
	Text  string
	Code  string
	Facts []string
}

// renderer writes mails for one service.
type renderer struct {
	service, url, site string
	texts              map[string]*template.Template // by language/template
	layout             *htmltemplate.Template
}

// newRenderer parses all templates. link is the page's URL, or "".
func newRenderer(service, link string) (*renderer, error) {
	r := &renderer{service: service, url: link, texts: map[string]*template.Template{}}
	if link != "" {
		u, err := url.Parse(link)
		if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
			return nil, errors.New("mail: Config.URL is no http or https URL")
		}
		r.site = u.Host
	}
	var err error
	if r.layout, err = htmltemplate.ParseFS(files, "templates/layout.html"); err != nil {
		return nil, err
	}
	for _, language := range Languages() {
		for _, name := range Templates() {
			path := language + "/" + string(name)
			text, err := files.ReadFile("templates/" + path + ".txt")
			if err != nil {
				return nil, err
			}
			if r.texts[path], err = template.New(path).Option("missingkey=error").Parse(string(text)); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// render writes m.
func (r *renderer) render(id string, m Message) (rendered, error) {
	to, err := Address(m.To)
	if err != nil {
		return rendered{}, err
	}
	language := spoken(m.Language)
	t := r.texts[language+"/"+string(m.Template)]
	if t == nil {
		return rendered{}, errors.New("mail: no such template")
	}
	var text strings.Builder
	if err := t.Execute(&text, map[string]any{
		"Service": r.service, "Minutes": m.Data.Minutes, "Username": clean(m.Data.Username, 64),
	}); err != nil {
		return rendered{}, err
	}
	p := r.page(language, m, strings.Split(strings.TrimSpace(text.String()), "\n\n"))
	var html strings.Builder
	if err := r.layout.Execute(&html, p); err != nil {
		return rendered{}, err
	}
	return rendered{
		ID: id, To: to, Subject: p.Subject, Text: p.plain(), HTML: html.String(), Template: m.Template, Code: m.Data.Code,
	}, nil
}

func (r *renderer) page(language string, m Message, paragraphs []string) page {
	p := page{
		Language: language, Subject: paragraphs[0], Greeting: greeting(language, m),
		Service: r.service, URL: r.url, Site: r.site,
	}
	for _, text := range paragraphs[1:] {
		switch text {
		case "[code]":
			p.Parts = append(p.Parts, part{Code: m.Data.Code})
		case "[facts]":
			if list := facts(m.Data); list != nil {
				p.Parts = append(p.Parts, part{Facts: list})
			}
		default:
			p.Parts = append(p.Parts, part{Text: text})
		}
	}
	return p
}

// plain is the page as text.
func (p *page) plain() string {
	var blocks []string
	if p.Greeting != "" {
		blocks = append(blocks, p.Greeting)
	}
	for _, part := range p.Parts {
		switch {
		case part.Code != "":
			blocks = append(blocks, "    "+part.Code)
		case part.Facts != nil:
			blocks = append(blocks, "    "+strings.Join(part.Facts, "\n    "))
		default:
			blocks = append(blocks, wrapped(part.Text))
		}
	}
	foot := "-- \n" + p.Service // RFC 3676, section 4.3: a signature
	if p.URL != "" {
		foot += "\n" + p.URL
	}
	return strings.Join(append(blocks, foot), "\n\n") + "\n"
}

// wrapped breaks a paragraph into lines of up to 72 letters.
func wrapped(text string) string {
	var b strings.Builder
	width := 0
	for word := range strings.FieldsSeq(text) {
		n := len([]rune(word))
		switch {
		case width == 0:
		case width+1+n > 72:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += n
	}
	return b.String()
}

// spoken returns the language of the templates for a person of that language.
func spoken(tag string) string {
	primary, _, _ := strings.Cut(strings.ReplaceAll(strings.ToLower(tag), "_", "-"), "-")
	if slices.Contains(Languages(), primary) {
		return primary
	}
	return Languages()[0]
}

// greeting is empty where the address is not known to belong to the person who
// chose the name, and for names that a mail program could turn into a link: else
// anybody could have us send their text to anybody.
func greeting(language string, m Message) string {
	name := clean(m.Name, 64)
	if name == "" || m.Template == Verify || m.Template == AlreadyRegistered || strings.ContainsAny(name, ".:/@\\。．") {
		return ""
	}
	return fmt.Sprintf(map[string]string{"en": "Hello %s,", "de": "Hallo %s,", "es": "Hola, %s:"}[language], name)
}

func facts(d Data) []string {
	var list []string
	for _, s := range []string{clean(d.Device, 120), clean(d.Place, 64)} {
		if s != "" {
			list = append(list, s)
		}
	}
	if !d.At.IsZero() {
		list = append(list, d.At.UTC().Format("2006-01-02 15:04 ")+"UTC")
	}
	return list
}

// clean makes s one line of visible text of up to n letters.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case unicode.Is(unicode.Cf, r) && r != '\u200d', r == unicode.ReplacementChar: // a joiner holds emoji together
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	letters := []rune(strings.Join(strings.Fields(s), " "))
	return strings.TrimSpace(string(letters[:min(n, len(letters))]))
}
