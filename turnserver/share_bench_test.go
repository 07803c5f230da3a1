//go:build unix

package turnserver

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// BenchmarkHTTPSConnection opens connections for one request each, by a port that is
// shared and by one that is the web server's alone: how much sharing costs the page.
func BenchmarkHTTPSConnection(b *testing.B) {
	s := testServer(b, noLimits)
	web := shareWithWeb(b, s)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	alone := &http.Server{Handler: web.Handler, TLSConfig: web.TLSConfig.Clone(), ErrorLog: web.ErrorLog}
	go alone.ServeTLS(ln, "", "")
	b.Cleanup(func() { alone.Close() })
	for name, at := range map[string]string{"shared": s.testAddr(b, overHTTPS).String(), "alone": ln.Addr().String()} {
		for _, protos := range [][]string{{"http/1.1"}, nil} {
			b.Run(fmt.Sprintf("%s/alpn=%v", name, protos != nil), func(b *testing.B) {
				b.ReportAllocs()
				cpu := usedCPU()
				for b.Loop() {
					c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true, NextProtos: protos})
					if err != nil {
						b.Fatal(err)
					}
					io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
					if got, err := io.ReadAll(c); err != nil || !bytes.Contains(got, []byte("TLS true")) {
						b.Fatalf("%q %v", got, err)
					}
					c.Close()
				}
				b.ReportMetric(float64((usedCPU()-cpu).Microseconds())/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// usedCPU is the CPU time of this process so far.
func usedCPU() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
