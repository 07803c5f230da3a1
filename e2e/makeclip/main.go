// Command makeclip writes the VP8 clip that client/rtc sends: Chromium draws and
// encodes it, so that no encoder has to be installed.
//
//	go run ./e2e/makeclip client/rtc/clip.ivf
package main

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/chromedp/chromedp"
)

const (
	width, height, fps, frames = 128, 96, 10, 20
)

// script encodes a square that circles on a slowly changing ground and returns
// the frames in base64.
const script = `(async () => {
  const [w, h, fps, n] = [%d, %d, %d, %d];
  const canvas = new OffscreenCanvas(w, h), g = canvas.getContext("2d"), out = [];
  const enc = new VideoEncoder({error: e => { throw e }, output: c => {
    const b = new Uint8Array(c.byteLength); c.copyTo(b);
    out.push(btoa(String.fromCharCode(...b)));
  }});
  enc.configure({codec: "vp8", width: w, height: h, bitrate: 60000, framerate: fps, latencyMode: "realtime"});
  for (let i = 0; i < n; i++) {
    g.fillStyle = "hsl(" + (i * 360 / n) + " 40%% 30%%)"; g.fillRect(0, 0, w, h);
    g.fillStyle = "white";
    g.fillRect(w / 2 - 10 + 40 * Math.cos(i * 2 * Math.PI / n), h / 2 - 10 + 28 * Math.sin(i * 2 * Math.PI / n), 20, 20);
    const f = new VideoFrame(canvas, {timestamp: i * 1e6 / fps});
    enc.encode(f, {keyFrame: i == 0}); f.close();
  }
  await enc.flush();
  return out;
})()`

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "makeclip:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: makeclip FILE")
	}
	// WebCodecs wants a secure context, which loopback is.
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	ctx, cancel := chromedp.NewContext(context.Background())
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(srv.URL)); err != nil {
		return err
	}
	encoded, err := chromedp.Run(ctx, chromedp.Evaluate[[]string](
		fmt.Sprintf(script, width, height, fps, frames), chromedp.EvalAwaitPromise))
	if err != nil {
		return err
	}
	if len(encoded) != frames {
		return fmt.Errorf("%d frames came out of %d", len(encoded), frames)
	}
	b, err := ivf(encoded)
	if err != nil {
		return err
	}
	return os.WriteFile(args[0], b, 0o644)
}

// ivf packs VP8 frames into an IVF file.
func ivf(encoded []string) ([]byte, error) {
	le := binary.LittleEndian
	b := append([]byte("DKIF"), 0, 0, 32, 0)
	b = append(b, "VP80"...)
	b = le.AppendUint16(b, width)
	b = le.AppendUint16(b, height)
	b = le.AppendUint32(b, fps)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint32(b, uint32(len(encoded)))
	b = le.AppendUint32(b, 0)
	for i, f := range encoded {
		raw, err := base64.StdEncoding.DecodeString(f)
		if err != nil {
			return nil, err
		}
		b = le.AppendUint32(b, uint32(len(raw)))
		b = le.AppendUint64(b, uint64(i))
		b = append(b, raw...)
	}
	return b, nil
}
