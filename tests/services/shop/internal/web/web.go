// Package web is the shop's HTTP surface: routes, and the middleware in front of them.
package web

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"

	"spandrel.dev/shop/internal/service"
	"spandrel.dev/shop/internal/store"
)

// Handler serves every route. Each is wrapped by otelhttp on its own: the pattern is then known when the server span
// starts, so the span's first name, which the SDK gives to its runtime/trace task, is also its last.
func Handler(shop *service.Service) http.Handler {
	guard := newMiddleware()
	mux := http.NewServeMux()
	handle := func(pattern string, respond responder) {
		mux.Handle(pattern, otelhttp.NewHandler(guard.wrap(respond), pattern))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
	ordinaryRoutes(shop, handle)
	slowRoutes(shop, handle)
	holderRoutes(shop, handle)
	elsewhereRoutes(shop, handle)
	return mux
}

func ordinaryRoutes(shop *service.Service, handle func(string, responder)) {
	handle("GET /catalog", func(r *http.Request) (any, error) {
		page, err := shop.Catalog(r.Context())
		return json.RawMessage(page), err
	})
	handle("GET /products/{id}", func(r *http.Request) (any, error) {
		id, err := productID(r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		return shop.ProductDetail(r.Context(), id)
	})
	handle("POST /checkout", func(r *http.Request) (any, error) {
		id, err := productID(r.URL.Query().Get("product"))
		if err != nil {
			return nil, err
		}
		return shop.Checkout(r.Context(), customer(r), id)
	})
	handle("POST /confirmations", func(r *http.Request) (any, error) { return "queued", shop.SendConfirmation(r.Context()) })
	handle("POST /jobs", func(r *http.Request) (any, error) { return "queued", shop.EnqueueJob(r.Context()) })
}

// slowRoutes are the operations with one injected cause each.
func slowRoutes(shop *service.Service, handle func(string, responder)) {
	handle("GET /invoices", func(r *http.Request) (any, error) { return shop.Invoices(r.Context(), customer(r)) })
	handle("POST /reservations", func(r *http.Request) (any, error) { return shop.Reserve(r.Context()) })
	handle("GET /recommendations", func(r *http.Request) (any, error) {
		page, err := shop.Recommendations(r.Context(), customer(r))
		return json.RawMessage(page), err
	})
	handle("GET /feed", func(r *http.Request) (any, error) { return shop.Feed(r.Context()) })
	handle("GET /quote", func(r *http.Request) (any, error) { return "quoted", shop.Quote(r.Context()) })
	handle("GET /search", func(r *http.Request) (any, error) {
		return shop.Search(r.Context(), r.URL.Query().Get("q")+"%")
	})
	handle("GET /shipping", func(r *http.Request) (any, error) { return shop.ShippingCost(r.Context()) })
	handle("POST /thumbnails", func(r *http.Request) (any, error) { return "rendered", shop.Thumbnail(r.Context()) })
	handle("GET /receipt", func(r *http.Request) (any, error) { return "printed", shop.PrintReceipt(r.Context()) })
}

// holderRoutes occupy what the slow routes wait for.
func holderRoutes(shop *service.Service, handle func(string, responder)) {
	handle("POST /ledger/close", func(r *http.Request) (any, error) { return "closed", shop.CloseLedger(r.Context()) })
	handle("POST /stock/audit", func(r *http.Request) (any, error) { return "audited", shop.AuditStock(r.Context()) })
	handle("POST /reindex", func(r *http.Request) (any, error) { return "reindexed", shop.Reindex(r.Context()) })
}

// elsewhereRoutes have another shop, whose address is in the query, do one of its slow operations.
func elsewhereRoutes(shop *service.Service, handle func(string, responder)) {
	ask := func(operation string) responder {
		return func(r *http.Request) (any, error) {
			header := http.Header{CustomerHeader: {customer(r)}}
			return shop.AskElsewhere(r.Context(), r.URL.Query().Get("at"), operation, header)
		}
	}
	handle("POST /elsewhere/shipping", ask("GET /shipping"))
	handle("POST /elsewhere/reservations", ask("POST /reservations"))
}

var errBadProductID = errors.New("product id must be a number")

func productID(text string) (int, error) {
	id, err := strconv.Atoi(text)
	if err != nil {
		return 0, errBadProductID
	}
	return id, nil
}

// responder computes what a route answers; the answer is written as JSON.
type responder func(*http.Request) (any, error)

func (respond responder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := respond(r)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, errBadProductID):
		return http.StatusBadRequest
	case errors.Is(err, store.ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, service.ErrQueueFull):
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}
