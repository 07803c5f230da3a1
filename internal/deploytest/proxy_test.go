package deploytest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rondo-chat/rondo/internal/testenv"
)

// adapted writes a configuration with other names to a temporary file.
func adapted(t *testing.T, name string, replace ...string) string {
	t.Helper()
	src := string(read(t, name))
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(src, replace[i]) {
			t.Fatalf("%s does not contain %q any more", name, replace[i])
		}
	}
	file := filepath.Join(t.TempDir(), filepath.Base(name))
	if err := os.WriteFile(file, []byte(strings.NewReplacer(replace...).Replace(src)), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestNginxTakesItsConfiguration(t *testing.T) {
	nginx := testenv.Need(t, "nginx")
	file := adapted(t, "deploy/nginx/nginx.conf",
		"node1:8080", "127.0.0.1:8081", "node2:8080", "127.0.0.1:8082", "/tmp/nginx.pid", filepath.Join(t.TempDir(), "pid"))
	if out, err := exec.Command(nginx, "-t", "-c", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestHAProxyTakesItsConfiguration(t *testing.T) {
	haproxy := testenv.Need(t, "haproxy")
	file := adapted(t, "deploy/haproxy/haproxy.cfg", " node1:8080", " 127.0.0.1:8081", " node2:8080", " 127.0.0.1:8082")
	if out, err := exec.Command(haproxy, "-c", "-f", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
