package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rondo-chat/rondo/chat/conversations"
	"github.com/rondo-chat/rondo/internal/picture"
	"github.com/rondo-chat/rondo/internal/ratelimit"
	"github.com/rondo-chat/rondo/protocol"
)

// Other is the type of all that is no picture.
const Other = "application/octet-stream"

// Conversations says who may, and has the record; *conversations.Conversations is one.
type Conversations interface {
	MayWrite(ctx context.Context, who conversations.Caller, room protocol.RoomID) error
	Attach(ctx context.Context, who conversations.Caller, room protocol.RoomID, f conversations.File) error
	File(ctx context.Context, who conversations.Caller, id string) (conversations.File, error)
}

// Config is what a Files is made of. Fields without a default are required.
type Config struct {
	Blobs         Blobs
	Conversations Conversations
	Spool         string // folder where uploads are received; emptied by whoever made it

	MaxBytes int64 // of one file; 10 MiB
	// What one user may upload in a day, all of it at once. A guest may a tenth of it; one address (IPv6: /64) ten times
	// as much.
	DayFiles int           // 200
	DayBytes int64         // 500 MiB
	Works    int           // pictures worked on at once, each in up to 320 MiB of memory; 2
	WorkTime time.Duration // for one picture; 10 s

	Limiter    ratelimit.Limiter // by default in this process's memory
	Now        func() time.Time  // time.Now
	Logger     *slog.Logger      // discards by default
	Registerer prometheus.Registerer
}

func (c *Config) validate() error {
	switch {
	case c.Blobs == nil, c.Conversations == nil, c.Spool == "":
		return errors.New("files: Blobs, Conversations and Spool are required")
	case c.MaxBytes < 0, c.DayFiles < 0, c.DayBytes < 0, c.Works < 0, c.WorkTime < 0:
		return errors.New("files: a limit is negative")
	}
	defaultTo(&c.MaxBytes, 10<<20)
	defaultTo(&c.DayFiles, 200)
	defaultTo(&c.DayBytes, 500<<20)
	defaultTo(&c.Works, 2)
	defaultTo(&c.WorkTime, 10*time.Second)
	if c.Limiter == nil {
		c.Limiter = ratelimit.NewMemory(limiterKeys)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

func defaultTo[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// limiterKeys bounds the users that a node counts for itself.
const limiterKeys = 50_000

// Files takes uploads and opens files. It is safe for concurrent use.
type Files struct {
	cfg     Config
	works   chan struct{} // a place for each picture that is worked on
	uploads *prometheus.CounterVec
	bytes   prometheus.Counter
	seconds prometheus.Histogram
}

// New makes a Files.
func New(cfg Config) (*Files, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Spool, 0o700); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	f := &Files{
		cfg: cfg, works: make(chan struct{}, cfg.Works),
		uploads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "rondo_files_uploads_total", Help: "Uploads, by what came of them: kept, refused (the client's part), failed (ours).",
		}, []string{"result"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "rondo_files_kept_bytes_total", Help: "Bytes of files that were kept."}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rondo_files_picture_seconds", Help: "Time to decode and encode a picture, without waiting for a place.", Buckets: []float64{.01, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	if cfg.Registerer != nil {
		for _, c := range []prometheus.Collector{f.uploads, f.bytes, f.seconds} {
			if err := cfg.Registerer.Register(c); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

// MaxBytes is how large a file may be.
func (f *Files) MaxBytes() int64 { return f.cfg.MaxBytes }

// Source is where an upload comes from.
type Source struct {
	Name    string // as the client calls it
	Network string // of the client: what one subscriber has
	Body    io.Reader
}

// Upload keeps a file for a conversation: the caller's next message may have it. Errors: not_found and what MayWrite
// says, rate_limited, too_large, bad_request (empty, or a picture that cannot be read), unavailable.
func (f *Files) Upload(ctx context.Context, who conversations.Caller, room protocol.RoomID, s Source) (protocol.ConvFile, error) {
	file, err := f.upload(ctx, who, room, s)
	result := "kept"
	switch protocol.CodeOf(err) {
	case "":
		f.bytes.Add(float64(file.Size))
	case protocol.CodeUnavailable, protocol.CodeInternal:
		result = "failed"
	default:
		result = "refused"
	}
	f.uploads.WithLabelValues(result).Inc()
	return file, err
}

func (f *Files) upload(ctx context.Context, who conversations.Caller, room protocol.RoomID, s Source) (protocol.ConvFile, error) {
	var none protocol.ConvFile
	if err := f.cfg.Conversations.MayWrite(ctx, who, room); err != nil {
		return none, err
	}
	if err := f.take(ctx, who, s.Network, "files", 1, float64(f.cfg.DayFiles)); err != nil {
		return none, err
	}
	spool, size, err := f.receive(ctx, s.Body)
	if err != nil {
		return none, err
	}
	defer func() { _ = spool.Close() }()
	if err := f.take(ctx, who, s.Network, "bytes", float64(size), float64(f.cfg.DayBytes)); err != nil {
		return none, err
	}
	file := protocol.ConvFile{ID: "f_" + NewName(), Name: cleanName(s.Name), Type: Other, Size: size}
	body, err := f.content(ctx, spool, &file)
	if err != nil {
		return none, err
	}
	return file, f.keep(ctx, who, room, file, body)
}

// keep writes the row and then the bytes: see the package's promises.
func (f *Files) keep(ctx context.Context, who conversations.Caller, room protocol.RoomID, file protocol.ConvFile, body io.Reader) error {
	stored := NewName()
	row := conversations.File{ConvFile: file, Owner: who.Identity, Room: room, Stored: stored, At: f.cfg.Now().UnixMilli()}
	if err := f.cfg.Conversations.Attach(ctx, who, room, row); err != nil {
		return err
	}
	if err := f.cfg.Blobs.Put(ctx, stored, body, file.Size); err != nil {
		return f.failed("a file was not kept", err)
	}
	return nil
}

// failed logs what the client need not know.
func (f *Files) failed(what string, err error) error {
	f.cfg.Logger.Error("files: "+what, "err", err)
	return &protocol.Error{Code: protocol.CodeUnavailable, Msg: "files cannot be had right now", Retry: 5 * time.Second}
}

// take counts against a day's share: all of it may be used at once.
func (f *Files) take(ctx context.Context, who conversations.Caller, network, what string, n, day float64) error {
	share := day
	if who.Guest {
		share = day / 10
	}
	for key, burst := range map[string]float64{"user:" + string(who.Identity): share, "network:" + network: day * 10} {
		rate := ratelimit.Rate{PerSecond: burst / (24 * 60 * 60), Burst: burst}
		allowed, retry, err := f.cfg.Limiter.Take(ctx, "files:"+what+":"+key, n, rate)
		if err != nil {
			return err
		}
		if !allowed {
			return &protocol.Error{Code: protocol.CodeRateLimited, Msg: "that is enough for a day", Retry: max(retry, time.Second)}
		}
	}
	return nil
}

// receive takes the body in, into a file that has no name any more.
func (f *Files) receive(ctx context.Context, body io.Reader) (_ *os.File, size int64, err error) {
	spool, err := os.CreateTemp(f.cfg.Spool, "upload-")
	if err != nil {
		return nil, 0, f.failed("an upload cannot be received", err)
	}
	defer func() {
		if err != nil {
			_ = spool.Close()
		}
	}()
	if err := os.Remove(spool.Name()); err != nil {
		return nil, 0, f.failed("an upload cannot be received", err)
	}
	in := &bodyReader{r: contextReader{ctx, io.LimitReader(body, f.cfg.MaxBytes+1)}}
	size, err = io.Copy(spool, in)
	switch {
	case ctx.Err() != nil:
		return nil, 0, ctx.Err()
	case in.err != nil:
		if e, ok := errors.AsType[*protocol.Error](in.err); ok {
			return nil, 0, e
		}
		return nil, 0, protocol.Errorf(protocol.CodeBadRequest, "the file did not arrive")
	case err != nil:
		return nil, 0, f.failed("an upload cannot be received", err)
	case size > f.cfg.MaxBytes:
		return nil, 0, protocol.Errorf(protocol.CodeTooLarge, "a file is limited to %d bytes", f.cfg.MaxBytes)
	case size == 0:
		return nil, 0, protocol.Errorf(protocol.CodeBadRequest, "the file is empty")
	}
	_, err = spool.Seek(0, io.SeekStart)
	return spool, size, err
}

// bodyReader remembers whether it was the body that failed, and not the disk.
type bodyReader struct {
	r   io.Reader
	err error
}

func (b *bodyReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// content is what is to be kept of an upload, and writes into file what it is.
func (f *Files) content(ctx context.Context, spool *os.File, file *protocol.ConvFile) (io.Reader, error) {
	head := make([]byte, 16)
	n, err := spool.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return nil, f.failed("an upload cannot be read", err)
	}
	if picture.Sniff(head[:n]) == "" {
		return spool, nil
	}
	if err := f.place(ctx); err != nil {
		return nil, err
	}
	defer func() { <-f.works }()
	data, err := io.ReadAll(spool)
	if err != nil {
		return nil, f.failed("an upload cannot be read", err)
	}
	p, err := f.clean(ctx, data)
	if err != nil {
		return nil, err
	}
	file.Type, file.Size, file.Width, file.Height = p.Type, int64(len(p.Data)), p.Width, p.Height
	file.Name = nameAs(file.Name, p.Type)
	return bytes.NewReader(p.Data), nil
}

// placeTime is how long an upload waits for others' pictures.
const placeTime = 5 * time.Second

func (f *Files) place(ctx context.Context) error {
	wait := time.NewTimer(placeTime)
	defer wait.Stop()
	select {
	case f.works <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-wait.C:
		return &protocol.Error{Code: protocol.CodeUnavailable, Msg: "too many pictures at once", Retry: placeTime}
	}
}

func (f *Files) clean(ctx context.Context, data []byte) (picture.Picture, error) {
	work, cancel := context.WithTimeout(ctx, f.cfg.WorkTime)
	defer cancel()
	start := f.cfg.Now()
	p, err := picture.Clean(work, data, picture.Limits{Bytes: 2 * f.cfg.MaxBytes})
	f.seconds.Observe(f.cfg.Now().Sub(start).Seconds())
	switch {
	case err == nil:
		return p, nil
	case ctx.Err() != nil:
		return p, ctx.Err()
	case errors.Is(err, picture.ErrTooLarge), work.Err() != nil:
		return p, protocol.Errorf(protocol.CodeTooLarge, "the picture is too large")
	}
	return p, protocol.Errorf(protocol.CodeBadRequest, "the picture cannot be read")
}

// Open returns a file that the caller may read; close its Blob. Errors: not_found, unavailable.
func (f *Files) Open(ctx context.Context, who conversations.Caller, id string) (protocol.ConvFile, Blob, error) {
	missing := protocol.Errorf(protocol.CodeNotFound, "there is no such thing")
	name, ok := strings.CutPrefix(id, "f_")
	if !ok || CheckName(name) != nil {
		return protocol.ConvFile{}, nil, missing
	}
	row, err := f.cfg.Conversations.File(ctx, who, id)
	if err != nil {
		return protocol.ConvFile{}, nil, err
	}
	b, err := f.cfg.Blobs.Open(ctx, row.Stored)
	switch {
	case errors.Is(err, ErrNotFound):
		f.cfg.Logger.Warn("files: a file has a row and no bytes", "file", id)
		return protocol.ConvFile{}, nil, missing
	case err != nil:
		return protocol.ConvFile{}, nil, f.failed("a file cannot be opened", err)
	}
	return row.ConvFile, b, nil
}
