package server

import "net/http"

// Handler returns the routes of the public listener.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /ws", s.hub)
	mux.HandleFunc("GET /ws/check", s.hub.Check)
	mux.HandleFunc("GET /healthz", s.cfg.Health.Healthz)
	mux.HandleFunc("GET /readyz", s.cfg.Health.Readyz)
	if s.people != nil {
		mux.Handle("/api/", s.people.api)
		mux.Handle("/.well-known/jwks.json", s.people.api)
	}
	if s.cfg.Page != nil {
		mux.Handle("/", s.cfg.Page)
	}
	return mux
}
