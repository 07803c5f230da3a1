package picture

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"runtime"
	"strings"
	"testing"
	"time"
)

// scene is a picture whose corners differ: red, green, blue, white.
func scene(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{255, 0, 0, 255}
			switch {
			case x >= w/2 && y < h/2:
				c = color.RGBA{0, 255, 0, 255}
			case x < w/2 && y >= h/2:
				c = color.RGBA{0, 0, 255, 255}
			case x >= w/2:
				c = color.RGBA{255, 255, 255, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

func asJPEG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asPNG(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// secret stands for what a picture must not keep.
const secret = "52.5200 N 13.4050 E of somebody's home"

// withEXIF puts an orientation and a place into a JPEG.
func withEXIF(data []byte, orientation int, order binary.ByteOrder) []byte {
	tiff := []byte("II*\x00")
	if order == binary.BigEndian {
		tiff = []byte("MM\x00*")
	}
	add16 := func(v int) { tiff = append(tiff, 0, 0); order.PutUint16(tiff[len(tiff)-2:], uint16(v)) }
	add32 := func(v int) { tiff = append(tiff, 0, 0, 0, 0); order.PutUint32(tiff[len(tiff)-4:], uint32(v)) }
	add32(8)
	add16(2)
	add16(0x010f) // the maker, to be passed over
	add16(2)
	add32(4)
	add32(0x41424300)
	add16(0x0112)
	add16(3)
	add32(1)
	add16(orientation)
	add16(0)
	add32(0)
	return insert(data, 0xe1, append(append([]byte("Exif\x00\x00"), tiff...), secret...))
}

// insert puts a segment after the start of a JPEG.
func insert(data []byte, marker byte, body []byte) []byte {
	out := append([]byte{0xff, 0xd8, 0xff, marker}, binary.BigEndian.AppendUint16(nil, uint16(len(body)+2))...)
	return append(append(out, body...), data[2:]...)
}

// chunk puts a chunk after the head of a PNG.
func chunk(data []byte, name, body string) []byte {
	c := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	c = append(append(c, name...), body...)
	c = binary.BigEndian.AppendUint32(c, crc32.ChecksumIEEE(c[4:]))
	return append(append(append([]byte{}, data[:33]...), c...), data[33:]...)
}

func decode(t *testing.T, p Picture) image.Image {
	t.Helper()
	m, name, err := image.Decode(bytes.NewReader(p.Data))
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := image.DecodeConfig(bytes.NewReader(p.Data)) // of a GIF, whose frames may be smaller
	if err != nil || "image/"+name != p.Type || c.Width != p.Width || c.Height != p.Height {
		t.Fatalf("said %s %d×%d, is %s %v, %v", p.Type, p.Width, p.Height, name, c, err)
	}
	return m
}

// corners names the colours of the corners: top left, top right, bottom left, bottom right.
func corners(m image.Image) string {
	var s string
	b := m.Bounds()
	for _, at := range []image.Point{{b.Min.X + 2, b.Min.Y + 2}, {b.Max.X - 3, b.Min.Y + 2}, {b.Min.X + 2, b.Max.Y - 3}, {b.Max.X - 3, b.Max.Y - 3}} {
		r, g, bl, _ := m.At(at.X, at.Y).RGBA()
		switch on := [3]bool{r > 0x8000, g > 0x8000, bl > 0x8000}; on {
		case [3]bool{true, false, false}:
			s += "r"
		case [3]bool{false, true, false}:
			s += "g"
		case [3]bool{false, false, true}:
			s += "b"
		case [3]bool{true, true, true}:
			s += "w"
		default:
			s += "?"
		}
	}
	return s
}

// TestOrientation: what lies on its side is turned, in both orders of bytes.
func TestOrientation(t *testing.T) {
	want := []string{1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb", 9: "rgbw"}
	colour, grey := asJPEG(t, scene(48, 32)), image.NewGray(image.Rect(0, 0, 48, 32))
	for o := 1; o <= 9; o++ {
		for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
			p, err := Clean(t.Context(), withEXIF(colour, o, order), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := corners(decode(t, p)); got != want[o] || o >= 5 && o <= 8 && p.Width != 32 {
				t.Errorf("orientation %d: %s %d×%d, want %s", o, got, p.Width, p.Height, want[o])
			}
		}
		if _, err := Clean(t.Context(), withEXIF(asJPEG(t, grey), o, binary.BigEndian), Limits{}); err != nil {
			t.Errorf("grey, orientation %d: %v", o, err)
		}
	}
}

// webpSample is a lossless WebP of 1 × 1 pixel, and a lossy one of 1 × 1.
const (
	webpLossless = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="
	webpLossy    = "UklGRiIAAABXRUJQVlA4IBYAAAAwAQCdASoBAAEADsD+JaQAA3AAAAAA"
)

// TestNothingIsLeft: of what is not a pixel nothing comes out again, of no type.
func TestNothingIsLeft(t *testing.T) {
	unbase := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	m := scene(40, 30)
	animation := asGIF(t, 3, 40, 30)
	comment := append([]byte{0x21, 0xfe, byte(len(secret))}, secret+"\x00"...)
	commented := append(append(append([]byte{}, animation[:13]...), comment...), animation[13:]...)
	for name, c := range map[string]struct {
		data []byte
		typ  string
	}{
		"EXIF":            {withEXIF(asJPEG(t, m), 1, binary.BigEndian), JPEG},
		"a JPEG comment":  {insert(asJPEG(t, m), 0xfe, []byte(secret)), JPEG},
		"XMP":             {insert(asJPEG(t, m), 0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+secret)), JPEG},
		"IPTC":            {insert(asJPEG(t, m), 0xed, []byte("Photoshop 3.0\x00"+secret)), JPEG},
		"a profile":       {insert(asJPEG(t, m), 0xe2, []byte("ICC_PROFILE\x00"+secret)), JPEG},
		"behind a JPEG":   {append(asJPEG(t, m), secret+"<script>"...), JPEG},
		"a PNG's text":    {chunk(asPNG(t, m), "tEXt", "Comment\x00"+secret), PNG},
		"a PNG's EXIF":    {chunk(asPNG(t, m), "eXIf", "MM\x00*"+secret), PNG},
		"behind a PNG":    {append(asPNG(t, m), "PK\x03\x04"+secret...), PNG},
		"a GIF's comment": {commented, GIF},
		"behind a GIF":    {append(animation, secret...), GIF},
		"behind a WebP":   {append(unbase(webpLossless), secret...), PNG},
		"lossy WebP":      {unbase(webpLossy), JPEG},
	} {
		p, err := Clean(t.Context(), c.data, Limits{})
		if err != nil || p.Type != c.typ {
			t.Errorf("%s: %s, %v", name, p.Type, err)
			continue
		}
		decode(t, p)
		for _, part := range []string{secret, secret[8:], "Exif", "eXIf", "http", "ICC", "Photoshop", "script", "PK\x03"} {
			if bytes.Contains(p.Data, []byte(part)) {
				t.Errorf("%s: %q is still there", name, part)
			}
		}
		if c.typ != GIF && len(p.Data) > 10 && p.Width == 40 && corners(decode(t, p)) != "rgbw" {
			t.Errorf("%s: it looks different", name)
		}
	}
}

func asGIF(t testing.TB, frames, w, h int) []byte {
	t.Helper()
	g := &gif.GIF{LoopCount: 7}
	for i := range frames {
		m := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.Black, color.White, color.RGBA{255, 0, 0, 255}})
		m.SetColorIndex(i%w, 0, 1)
		g.Image, g.Delay, g.Disposal = append(g.Image, m), append(g.Delay, 4+i), append(g.Disposal, gif.DisposalBackground)
	}
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAnimation: it moves as before.
func TestAnimation(t *testing.T) {
	p, err := Clean(t.Context(), asGIF(t, 5, 20, 10), Limits{})
	if err != nil {
		t.Fatal(err)
	}
	g, err := gif.DecodeAll(bytes.NewReader(p.Data))
	if err != nil || len(g.Image) != 5 || g.LoopCount != 7 || g.Delay[4] != 8 || g.Disposal[2] != gif.DisposalBackground || g.Image[3].ColorIndexAt(3, 0) != 1 {
		t.Errorf("%+v, %v", g, err)
	}
}

// claim changes the size that a picture says it has.
func claim(data []byte, at int, big bool, w, h int) []byte {
	data = bytes.Clone(data)
	if big {
		binary.BigEndian.PutUint32(data[at:], uint32(w))
		binary.BigEndian.PutUint32(data[at+4:], uint32(h))
		binary.BigEndian.PutUint32(data[at+13:], crc32.ChecksumIEEE(data[at-4:at+13]))
	} else {
		binary.LittleEndian.PutUint16(data[at:], uint16(w))
		binary.LittleEndian.PutUint16(data[at+2:], uint16(h))
	}
	return data
}

// scans repeats the scan of a JPEG.
func scans(data []byte, n int) []byte {
	at := bytes.Index(data, []byte{0xff, 0xda})
	scan := data[at : len(data)-2]
	return append(append(append([]byte{}, data[:at]...), bytes.Repeat(scan, n)...), 0xff, 0xd9)
}

// TestBombs: what would take much memory or time is refused by what its head says, before it is
// decoded: at once, and without the memory.
func TestBombs(t *testing.T) {
	small := asJPEG(t, scene(16, 16))
	sof := bytes.Index(small, []byte{0xff, 0xc0}) + 5
	huge := bytes.Clone(small)
	copy(huge[sof:], []byte{0xff, 0xff, 0xff, 0xff})
	progressive := bytes.Clone(small)
	progressive[sof-4] = 0xc2
	copy(progressive[sof:], []byte{6000 >> 8, 6000 & 255, 6000 >> 8, 6000 & 255})
	progressive[sof+6] = 0x11 // of three full planes
	for name, data := range map[string][]byte{
		"a PNG of 65,000 × 65,000":            claim(asPNG(t, scene(8, 8)), 16, true, 65_000, 65_000),
		"a PNG of 2,000,000,000 × 1":          claim(asPNG(t, scene(8, 8)), 16, true, 2_000_000_000, 1),
		"a JPEG of 65,535 × 65,535":           huge,
		"a progressive JPEG of 36 megapixels": progressive,
		"a JPEG of 65 scans":                  scans(small, maxScans+1),
		"a GIF of 65,535 × 65,535":            claim(asGIF(t, 1, 8, 8), 6, false, 65_535, 65_535),
		"a GIF of 501 frames":                 asGIF(t, 501, 2, 2),
		"a GIF whose frames are large":        bytes.Replace(asGIF(t, 60, 2, 2), []byte{0x2c, 0, 0, 0, 0, 2, 0, 2, 0}, []byte{0x2c, 0, 0, 0, 0, 0x88, 0x13, 0x88, 0x13}, -1),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := time.Now()
		_, err := Clean(t.Context(), data, Limits{})
		runtime.ReadMemStats(&after)
		if !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 2*time.Second {
			t.Errorf("%s: refused after %v", name, took)
		}
		if took := after.TotalAlloc - before.TotalAlloc; took > 1<<20 {
			t.Errorf("%s: refused after %d bytes of memory", name, took)
		}
	}
	if _, err := Clean(t.Context(), scans(small, 10), Limits{}); errors.Is(err, ErrTooLarge) {
		t.Errorf("10 scans: %v", err)
	}
}

// TestEnds: a picture ends with its context, and at its limit of bytes.
func TestEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, data := range map[string][]byte{"JPEG": asJPEG(t, scene(64, 64)), "PNG": asPNG(t, scene(64, 64)), "GIF": asGIF(t, 2, 8, 8)} {
		if _, err := Clean(ctx, data, Limits{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := Clean(t.Context(), data, Limits{Bytes: 20}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("%s of 20 bytes: %v", name, err)
		}
	}
}

// TestBroken: what begins like a picture and is none.
func TestBroken(t *testing.T) {
	j, p, g := asJPEG(t, scene(16, 16)), asPNG(t, scene(16, 16)), asGIF(t, 2, 16, 16)
	for name, data := range map[string][]byte{
		"nothing": {}, "text": []byte("hello"), "a JPEG's beginning": j[:3], "half a JPEG": j[:len(j)/3], "half a PNG": p[:len(p)/2], "half a GIF": g[:len(g)/2],
		"a page": []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00<script>alert(1)</script>"), "SVG": []byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "no pixels": claim(p, 16, true, 0, 0),
		"JPEG of zeros": append([]byte("\xff\xd8\xff"), make([]byte, 1000)...), "WebP of nothing": []byte("RIFF\x00\x00\x00\x00WEBP"),
		"animated WebP": []byte("RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x07\x00\x00\x07\x00\x00"),
	} {
		if got, err := Clean(t.Context(), data, Limits{}); !errors.Is(err, ErrBroken) || len(got.Data) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSniff(t *testing.T) {
	for head, want := range map[string]string{
		"\xff\xd8\xff\xe0": JPEG, "\x89PNG\r\n\x1a\n": PNG, "GIF87a": GIF, "GIF89a": GIF, "RIFF....WEBPVP8 ": WebP, "RIFF....WAVE": "", "<svg": "", "%PDF": "", "": "", "GIF8": "", "PK\x03\x04": "",
		" \xff\xd8\xff": "", strings.Repeat("\x00", 32): "",
	} {
		if got := Sniff([]byte(head)); got != want {
			t.Errorf("%q: %q", head, got)
		}
	}
}

// FuzzClean: no bytes make it fail in any other way, take long, or give back what cannot be read.
func FuzzClean(f *testing.F) {
	f.Add(withEXIF(asJPEG(f, scene(16, 8)), 6, binary.BigEndian))
	f.Add(asPNG(f, scene(8, 8)))
	f.Add(asGIF(f, 2, 4, 4))
	for _, s := range []string{webpLossless, webpLossy} {
		b, _ := base64.StdEncoding.DecodeString(s)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		p, err := Clean(ctx, data, Limits{Pixels: 1 << 16, Memory: 1 << 20, Frames: 10})
		switch {
		case err == nil:
			if m := decode(t, p); m.Bounds().Dx()*m.Bounds().Dy() > 1<<16 {
				t.Errorf("%v", m.Bounds())
			}
		case !errors.Is(err, ErrBroken) && !errors.Is(err, ErrTooLarge):
			t.Errorf("%v", err)
		}
	})
}
