package picture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// The types, as sniffed and as returned. WebP is returned as one of the others.
const (
	JPEG = "image/jpeg"
	PNG  = "image/png"
	GIF  = "image/gif"
	WebP = "image/webp"
)

var (
	// ErrBroken means that the bytes begin like a picture and are none, or one of a kind that
	// cannot be read (animated WebP).
	ErrBroken = errors.New("picture: it cannot be read")
	// ErrTooLarge means that it has more pixels, frames, memory or bytes than the limits allow.
	ErrTooLarge = errors.New("picture: it is too large")
)

// Limits bounds a picture. A zero field is the default.
type Limits struct {
	Pixels int   // of one frame, or of the whole of an animation's screen; 40 million
	Frames int   // of an animation; 500
	Memory int64 // bytes that it takes decoded; of an animation all frames may take a quarter of it; 320 MiB
	Bytes  int64 // encoded again; 20 MiB
	// Quality of JPEG, 1 to 100; 88: nobody sees a difference, and it is about as large as what telephones make.
	Quality int
}

func (l *Limits) setDefaults() {
	if l.Pixels == 0 {
		l.Pixels = 40_000_000
	}
	if l.Frames == 0 {
		l.Frames = 500
	}
	if l.Memory == 0 {
		l.Memory = 320 << 20
	}
	if l.Bytes == 0 {
		l.Bytes = 20 << 20
	}
	if l.Quality == 0 {
		l.Quality = 88
	}
}

// Picture is one that was encoded again.
type Picture struct {
	Type          string
	Data          []byte
	Width, Height int // as it is shown
}

// Sniff returns the type of what begins with head (16 bytes are enough), "" if that is none of the types.
func Sniff(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return JPEG
	case bytes.HasPrefix(head, []byte("\x89PNG\r\n\x1a\n")):
		return PNG
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return GIF
	case len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP":
		return WebP
	}
	return ""
}

// Clean decodes the picture and encodes it again, upright. Errors: ErrBroken, ErrTooLarge, those of ctx.
func Clean(ctx context.Context, data []byte, l Limits) (Picture, error) {
	l.setDefaults()
	p, err := clean(ctx, data, l)
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		return Picture{}, ctx.Err()
	case errors.Is(err, ErrTooLarge):
		return Picture{}, err
	}
	return Picture{}, fmt.Errorf("%w: %w", ErrBroken, err)
}

func clean(ctx context.Context, data []byte, l Limits) (Picture, error) {
	switch typ := Sniff(data); typ {
	case JPEG:
		return cleanJPEG(ctx, data, l)
	case GIF:
		return cleanGIF(ctx, data, l)
	case PNG:
		return cleanPNG(ctx, data, l)
	case WebP:
		return cleanWebP(ctx, data, l)
	}
	return Picture{}, errors.New("of no known type")
}

// fits checks what the head says. perPixel is the memory of a decoded pixel, in bytes.
func (l Limits) fits(c image.Config, perPixel float64) error {
	if c.Width < 1 || c.Height < 1 {
		return errors.New("it has no pixels")
	}
	pixels := int64(c.Width) * int64(c.Height)
	if pixels > int64(l.Pixels) || float64(pixels)*perPixel > float64(l.Memory) {
		return fmt.Errorf("%w: %d × %d", ErrTooLarge, c.Width, c.Height)
	}
	return nil
}

func cleanJPEG(ctx context.Context, data []byte, l Limits) (Picture, error) {
	head, err := readJPEGHead(data)
	if err != nil {
		return Picture{}, err
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Picture{}, err
	}
	perPixel := head.perPixel
	if head.orientation > 1 {
		perPixel += 4 // the picture that is turned
	}
	if err := l.fits(c, perPixel); err != nil {
		return Picture{}, err
	}
	m, err := jpeg.Decode(reader(ctx, data))
	if err != nil {
		return Picture{}, err
	}
	return encodeJPEG(ctx, turn(m, head.orientation), l)
}

func cleanPNG(ctx context.Context, data []byte, l Limits) (Picture, error) {
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Picture{}, err
	}
	if err := l.fits(c, 8); err != nil { // 16 bits of each of 4 channels
		return Picture{}, err
	}
	m, err := png.Decode(reader(ctx, data))
	if err != nil {
		return Picture{}, err
	}
	return encodePNG(ctx, m, l)
}

func cleanWebP(ctx context.Context, data []byte, l Limits) (Picture, error) {
	c, err := webp.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return Picture{}, err
	}
	if err := l.fits(c, 8); err != nil {
		return Picture{}, err
	}
	m, err := webp.Decode(reader(ctx, data))
	if err != nil {
		return Picture{}, err
	}
	if _, lossy := m.(*image.YCbCr); lossy {
		return encodeJPEG(ctx, m, l)
	}
	return encodePNG(ctx, m, l)
}

func cleanGIF(ctx context.Context, data []byte, l Limits) (Picture, error) {
	if err := l.gifFits(data); err != nil {
		return Picture{}, err
	}
	g, err := gif.DecodeAll(reader(ctx, data))
	if err != nil {
		return Picture{}, err
	}
	w := &writer{ctx: ctx, limit: l.Bytes}
	if err := gif.EncodeAll(w, g); err != nil {
		return Picture{}, err
	}
	return Picture{GIF, w.b, g.Config.Width, g.Config.Height}, nil
}

func encodeJPEG(ctx context.Context, m image.Image, l Limits) (Picture, error) {
	w := &writer{ctx: ctx, limit: l.Bytes}
	err := jpeg.Encode(w, m, &jpeg.Options{Quality: l.Quality})
	return Picture{JPEG, w.b, m.Bounds().Dx(), m.Bounds().Dy()}, err
}

// quickPixels is from when on a PNG is packed less tightly: packing takes most of the time.
const quickPixels = 4_000_000

func encodePNG(ctx context.Context, m image.Image, l Limits) (Picture, error) {
	e := png.Encoder{}
	if m.Bounds().Dx()*m.Bounds().Dy() > quickPixels {
		e.CompressionLevel = png.BestSpeed
	}
	w := &writer{ctx: ctx, limit: l.Bytes}
	err := e.Encode(w, m)
	return Picture{PNG, w.b, m.Bounds().Dx(), m.Bounds().Dy()}, err
}

// slowReader ends with its context: decoders ask for more now and then. It gives little at
// once, for a few bytes can keep a decoder busy for long.
type slowReader struct {
	ctx context.Context
	r   *bytes.Reader
}

func reader(ctx context.Context, data []byte) io.Reader {
	return &slowReader{ctx, bytes.NewReader(data)}
}

func (s *slowReader) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b[:min(len(b), 512)])
}

// writer ends with its context and at its limit.
type writer struct {
	ctx   context.Context
	limit int64
	b     []byte
}

func (w *writer) Write(b []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if int64(len(w.b)+len(b)) > w.limit {
		return 0, fmt.Errorf("%w: encoded again it has over %d bytes", ErrTooLarge, w.limit)
	}
	w.b = append(w.b, b...)
	return len(b), nil
}
