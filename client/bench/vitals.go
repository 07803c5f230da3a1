package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

// Vitals are what a server process has used and holds.
type Vitals struct {
	At      time.Time     `json:"-"`
	CPU     time.Duration `json:"-"` // since it began
	RSS     int64         `json:"rss_bytes"`
	Mallocs float64       `json:"mallocs"` // since it began; 0: no metrics
}

// look reads /proc and, if url is not empty, the server's metrics.
func look(ctx context.Context, pid int, url string) (Vitals, error) {
	v := Vitals{At: time.Now()}
	if pid != 0 {
		var err error
		if v.CPU, err = CPU(pid); err != nil {
			return v, err
		}
		if v.RSS, err = RSS(pid); err != nil {
			return v, err
		}
	}
	if url != "" {
		var err error
		if v.Mallocs, err = Metric(ctx, url, "go_memstats_mallocs_total"); err != nil {
			return v, err
		}
	}
	return v, nil
}

// RSS is what a process of this machine has in memory, in bytes.
func RSS(pid int) (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0, fmt.Errorf("bench: /proc/%d/statm has %d fields", pid, len(fields))
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// Metric reads one number of a page of Prometheus' text format.
func Metric(ctx context.Context, url, name string) (float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(io.LimitReader(resp.Body, 16<<20))
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(strings.TrimSpace(rest), 64)
		}
	}
	return 0, fmt.Errorf("bench: %s has no %s", url, name)
}
