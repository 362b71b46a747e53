package web

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	apitrace "go.opentelemetry.io/otel/trace"

	"spandrel.dev/shop/internal/cache"
	"spandrel.dev/shop/internal/service"
	"spandrel.dev/shop/internal/store"
)

// names remembers what each span was called when it started and when it ended.
type names struct {
	mutex   sync.Mutex
	started map[apitrace.SpanID]string
	ended   []trace.ReadOnlySpan
}

func (n *names) OnStart(_ context.Context, s trace.ReadWriteSpan) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.started[s.SpanContext().SpanID()] = s.Name()
}

func (n *names) OnEnd(s trace.ReadOnlySpan) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.ended = append(n.ended, s)
}

func (n *names) startName(s trace.ReadOnlySpan) string {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return n.started[s.SpanContext().SpanID()]
}

func (n *names) all() []trace.ReadOnlySpan {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	return slices.Clone(n.ended)
}

func (n *names) Shutdown(context.Context) error   { return nil }
func (n *names) ForceFlush(context.Context) error { return nil }

// spans is installed once: package-level tracers keep the first provider they are given.
var spans = sync.OnceValue(func() *names {
	n := &names{started: make(map[apitrace.SpanID]string)}
	otel.SetTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(n)))
	return n
})

func answer(handler http.Handler, method, target, customer string) *httptest.ResponseRecorder {
	request := httptest.NewRequest(method, target, nil)
	request.Header.Set(CustomerHeader, customer)
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	return recorder
}

func TestServerSpansEndWithTheNameTheyStartedWith(t *testing.T) {
	seen := spans()
	shop := service.New(nil, nil) // These two routes reach no database.
	defer shop.Close()
	handler := Handler(shop)
	for _, route := range []string{"GET /receipt", "POST /thumbnails"} {
		method, path, _ := strings.Cut(route, " ")
		if got := answer(handler, method, path, "customer").Code; got != http.StatusOK {
			t.Fatalf("%s: status %d", route, got)
		}
		found := false
		for _, span := range seen.all() {
			if span.SpanKind() != apitrace.SpanKindServer || span.Name() != route {
				continue
			}
			found = true
			if start := seen.startName(span); start != route {
				t.Errorf("%s: its span started as %q", route, start)
			}
			if !hasRoute(span, path) {
				t.Errorf("%s: its span has no http.route %q: %v", route, path, span.Attributes())
			}
		}
		if !found {
			t.Errorf("%s: no server span of that name", route)
		}
	}
}

func hasRoute(span trace.ReadOnlySpan, route string) bool {
	for _, attribute := range span.Attributes() {
		if attribute.Key == semconv.HTTPRouteKey {
			return attribute.Value.AsString() == route
		}
	}
	return false
}

func TestRefusesARequestWithoutCustomer(t *testing.T) {
	shop := service.New(nil, nil)
	defer shop.Close()
	if got := answer(Handler(shop), "GET", "/shipping", "").Code; got != http.StatusUnauthorized {
		t.Errorf("status %d, want %d", got, http.StatusUnauthorized)
	}
}

func TestRefusesRequestsAboveTheLimit(t *testing.T) {
	handler := newMiddleware().wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	counts := map[int]int{}
	for range 20 * requestBurst {
		counts[answer(handler, "GET", "/", "customer").Code]++
	}
	if counts[http.StatusNoContent] < requestBurst || counts[http.StatusTooManyRequests] == 0 {
		t.Errorf("got %v, want at least %d answered and some refused", counts, requestBurst)
	}
}

// TestEveryRouteAnswersFromRealDatabases needs SHOP_POSTGRES_DSN and SHOP_REDIS_ADDR (scripts/services/services.sh).
func TestEveryRouteAnswersFromRealDatabases(t *testing.T) {
	dsn, address := os.Getenv("SHOP_POSTGRES_DSN"), os.Getenv("SHOP_REDIS_ADDR")
	if dsn == "" || address == "" {
		t.Skip("no databases: SHOP_POSTGRES_DSN and SHOP_REDIS_ADDR are not set")
	}
	ctx := t.Context()
	postgres, err := store.Open(ctx, dsn, store.Pools{Main: 4, Ledger: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Close()
	redis, err := cache.Open(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer redis.Close()
	shop := service.New(postgres, redis)
	defer shop.Close()
	handler := Handler(shop)

	for target, want := range map[string]string{
		"GET /catalog":              `"name":"product 20"`,
		"GET /products/7":           `"price_cents":359`,
		"POST /checkout?product=11": "",
		"POST /jobs":                "queued",
		"POST /confirmations":       "queued",
		"GET /invoices":             "",
		"POST /reservations":        "1",
		"GET /recommendations":      "product-",
		"GET /feed":                 "4000",
		"GET /quote":                "quoted",
		"GET /search?q=product":     `"name":"product 10"`,
		"GET /shipping":             "980",
		"POST /thumbnails":          "rendered",
		"GET /receipt":              "printed",
		"POST /ledger/close":        "closed",
		"POST /stock/audit":         "audited",
		"POST /reindex":             "reindexed",
	} {
		method, path, _ := strings.Cut(target, " ")
		response := answer(handler, method, path, "customer")
		if response.Code != http.StatusOK || !strings.Contains(response.Body.String(), want) {
			t.Errorf("%s: status %d, body %q, want 200 and %q", target, response.Code, response.Body, want)
		}
	}
	for path, want := range map[string]int{"/products/none": http.StatusBadRequest, "/products/99999": http.StatusNotFound} {
		if got := answer(handler, "GET", path, "customer").Code; got != want {
			t.Errorf("GET %s: status %d, want %d", path, got, want)
		}
	}
}
