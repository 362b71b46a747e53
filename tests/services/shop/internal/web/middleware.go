package web

import (
	"context"
	"crypto/sha256"
	"net/http"
	"sync"

	"go.opentelemetry.io/otel"
	"golang.org/x/time/rate"
)

const (
	// CustomerHeader names the customer; a request without it is refused.
	CustomerHeader = "X-Customer"

	requestsPerSecond = 2000
	requestBurst      = 500
	maxSessions       = 1024
)

var tracer = otel.Tracer("shop/middleware")

// middleware guards every route: who asks, and how often may they. Each check has its own span.
type middleware struct {
	limiter  *rate.Limiter
	mutex    sync.Mutex // Shared by all requests; guards sessions.
	sessions map[string][sha256.Size]byte
}

func newMiddleware() *middleware {
	return &middleware{
		limiter:  rate.NewLimiter(requestsPerSecond, requestBurst),
		sessions: make(map[string][sha256.Size]byte),
	}
}

func (m *middleware) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !m.authenticate(r.Context(), customer(r)) {
			http.Error(w, "missing header "+CustomerHeader, http.StatusUnauthorized)
			return
		}
		if !m.admit(r.Context()) {
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (m *middleware) authenticate(ctx context.Context, customer string) bool {
	_, span := tracer.Start(ctx, "authenticate")
	defer span.End()
	if customer == "" {
		return false
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if _, known := m.sessions[customer]; !known && len(m.sessions) < maxSessions {
		m.sessions[customer] = sha256.Sum256([]byte(customer))
	}
	return true
}

func (m *middleware) admit(ctx context.Context) bool {
	_, span := tracer.Start(ctx, "rate limit")
	defer span.End()
	return m.limiter.Allow()
}

func customer(r *http.Request) string { return r.Header.Get(CustomerHeader) }
