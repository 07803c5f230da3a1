package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/crypto/acme/autocert"
)

// certificates is where this process gets its certificates from; the zero
// value means no TLS.
type certificates struct {
	get  func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	next []string                                 // extra ALPN protocols
	http func(fallback http.Handler) http.Handler // answers HTTP challenges; nil without ACME
}

func (c certificates) enabled() bool { return c.get != nil }

// config returns a TLS configuration for a listener with the ALPN protocols.
func (c certificates) config(alpn ...string) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: c.get, NextProtos: append(alpn, c.next...)}
}

// openCertificates prepares what the configuration asks for.
func openCertificates(c *config) (certificates, error) {
	switch {
	case c.TLSCert != "":
		f := &certFiles{cert: c.TLSCert, key: c.TLSKey}
		if _, err := f.get(nil); err != nil {
			return certificates{}, fmt.Errorf("tls-cert: %w", err)
		}
		return certificates{get: f.get}, nil
	case c.TLSSelfSigned:
		f := &certFiles{cert: filepath.Join(c.DataDir, "self-signed.crt"), key: filepath.Join(c.DataDir, "self-signed.key")}
		if err := makeSelfSigned(f.cert, f.key, c.TURN.ExternalIPs, time.Now()); err != nil {
			return certificates{}, fmt.Errorf("tls-self-signed: %w", err)
		}
		return certificates{get: f.get}, nil
	case len(c.ACMEDomains) > 0:
		m := &autocert.Manager{
			Prompt:     autocert.AcceptTOS,
			Cache:      autocert.DirCache(filepath.Join(c.DataDir, "acme")),
			HostPolicy: autocert.HostWhitelist(c.ACMEDomains...),
			Email:      c.ACMEEmail,
		}
		return certificates{get: m.GetCertificate, next: []string{"acme-tls/1"}, http: m.HTTPHandler}, nil
	}
	return certificates{}, nil
}

// certFiles serves a certificate from two files and reads them again when they
// change, so that a renewal needs no restart.
type certFiles struct {
	cert, key string // static after construction

	mu      sync.Mutex
	loaded  *tls.Certificate
	changed time.Time // modification time of loaded
	checked time.Time
}

// recheck is how often the files are looked at.
const recheck = 10 * time.Second

func (f *certFiles) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.loaded != nil && now.Sub(f.checked) < recheck {
		return f.loaded, nil
	}
	f.checked = now
	info, err := os.Stat(f.cert)
	if err == nil && f.loaded != nil && info.ModTime().Equal(f.changed) {
		return f.loaded, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(f.cert, f.key)
	}
	if err != nil {
		if f.loaded != nil { // a renewal in progress: the old one is better than none
			return f.loaded, nil
		}
		return nil, err
	}
	f.loaded, f.changed = &pair, info.ModTime()
	return f.loaded, nil
}

// makeSelfSigned writes a certificate for this machine's names and addresses
// unless there is one that is valid for another day.
func makeSelfSigned(certFile, keyFile string, extra addrList, now time.Time) error {
	if pair, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
		if pair.Leaf != nil && now.Add(24*time.Hour).Before(pair.Leaf.NotAfter) {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "Rondo self-signed"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(0, 3, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
	}
	if host, err := os.Hostname(); err == nil {
		template.DNSNames = append(template.DNSNames, host)
	}
	for _, a := range extra {
		template.IPAddresses = append(template.IPAddresses, net.IP(a.AsSlice()))
	}
	for _, a := range interfaceAddrs() {
		template.IPAddresses = append(template.IPAddresses, net.IP(a.AsSlice()))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
