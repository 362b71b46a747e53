// Package store keeps products, orders and the ledger in PostgreSQL.
//
// otelsql makes a span per driver call. Each method adds one around the whole call, because time spent waiting for a
// pooled connection passes before the driver is reached and would otherwise be charged to the caller's layer.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/XSAM/otelsql"
	_ "github.com/jackc/pgx/v5/stdlib" // Registers the driver "pgx".
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.40.0"
	"go.opentelemetry.io/otel/trace"
)

// ErrNotFound means that no row has the requested id.
var ErrNotFound = errors.New("not found")

var tracer = otel.Tracer("shop/store")

// Pools bounds the connections to PostgreSQL.
type Pools struct {
	// Main serves every operation but the ledger's.
	Main int
	// Ledger is meant to be too small: operations that share it queue for a connection.
	Ledger int
}

// Store holds the two connection pools.
type Store struct {
	main   *sql.DB
	ledger *sql.DB
}

// Open connects both pools and creates the schema and its rows if they are missing.
func Open(ctx context.Context, dsn string, pools Pools) (*Store, error) {
	main, err := openPool(dsn, pools.Main)
	if err != nil {
		return nil, err
	}
	ledger, err := openPool(dsn, pools.Ledger)
	if err != nil {
		return nil, errors.Join(err, main.Close())
	}
	s := &Store{main: main, ledger: ledger}
	if err := createSchema(ctx, main); err != nil {
		return nil, errors.Join(fmt.Errorf("creating the schema: %w", err), s.Close())
	}
	return s, nil
}

// Close closes both pools.
func (s *Store) Close() error { return errors.Join(s.main.Close(), s.ledger.Close()) }

func openPool(dsn string, size int) (*sql.DB, error) {
	db, err := otelsql.Open("pgx", dsn,
		otelsql.WithAttributes(semconv.DBSystemNamePostgreSQL),
		otelsql.WithSpanOptions(otelsql.SpanOptions{OmitConnResetSession: true}),
	)
	if err != nil {
		return nil, fmt.Errorf("opening postgres: %w", err)
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// Product is one article for sale.
type Product struct {
	ID         int    `json:"id"`
	Name       string `json:"name"`
	PriceCents int    `json:"price_cents"`
}

// ListProducts returns the first limit products by id.
func (s *Store) ListProducts(ctx context.Context, limit int) ([]Product, error) {
	return inSpan(ctx, "SELECT products", func(ctx context.Context) ([]Product, error) {
		return queryProducts(ctx, s.main, `SELECT id, name, price_cents FROM products ORDER BY id LIMIT $1`, limit)
	})
}

// SearchProducts matches names against a pattern, at the cost of a slow query plan of the given duration.
func (s *Store) SearchProducts(ctx context.Context, pattern string, plan time.Duration) ([]Product, error) {
	return inSpan(ctx, "SELECT products by name", func(ctx context.Context) ([]Product, error) {
		return queryProducts(ctx, s.main,
			`WITH plan AS MATERIALIZED (SELECT pg_sleep($2))
			 SELECT id, name, price_cents FROM products, plan WHERE name LIKE $1 ORDER BY id LIMIT 10`,
			pattern, plan.Seconds())
	})
}

// Product returns one product, or [ErrNotFound].
func (s *Store) Product(ctx context.Context, id int) (Product, error) {
	return inSpan(ctx, "SELECT product", func(ctx context.Context) (Product, error) {
		p := Product{ID: id}
		row := s.main.QueryRowContext(ctx, `SELECT name, price_cents FROM products WHERE id = $1`, id)
		err := row.Scan(&p.Name, &p.PriceCents)
		return p, notFound(err)
	})
}

// Stock returns how many pieces of a product are left, or [ErrNotFound].
func (s *Store) Stock(ctx context.Context, id int) (int, error) {
	return inSpan(ctx, "SELECT stock", func(ctx context.Context) (int, error) {
		var pieces int
		row := s.main.QueryRowContext(ctx, `SELECT stock FROM products WHERE id = $1`, id)
		err := row.Scan(&pieces)
		return pieces, notFound(err)
	})
}

// Sold returns how often a product was ordered.
func (s *Store) Sold(ctx context.Context, id int) (int, error) {
	return inSpan(ctx, "SELECT orders", func(ctx context.Context) (int, error) {
		var orders int
		row := s.main.QueryRowContext(ctx, `SELECT count(*) FROM orders WHERE product_id = $1`, id)
		err := row.Scan(&orders)
		return orders, err
	})
}

// PlaceOrder takes one piece from stock and records the order, in one transaction. It returns the order's id.
func (s *Store) PlaceOrder(ctx context.Context, customer string, productID int) (int64, error) {
	return inSpan(ctx, "TRANSACTION orders", func(ctx context.Context) (id int64, err error) {
		tx, err := s.main.BeginTx(ctx, nil)
		if err != nil {
			return 0, err
		}
		defer func() {
			if err != nil {
				err = errors.Join(err, tx.Rollback())
			}
		}()
		row := tx.QueryRowContext(ctx, `UPDATE products SET stock = stock - 1 WHERE id = $1 RETURNING price_cents`, productID)
		var priceCents int
		if err := row.Scan(&priceCents); err != nil {
			return 0, notFound(err)
		}
		row = tx.QueryRowContext(ctx,
			`INSERT INTO orders (customer, product_id, price_cents) VALUES ($1, $2, $3) RETURNING id`,
			customer, productID, priceCents)
		if err := row.Scan(&id); err != nil {
			return 0, err
		}
		return id, tx.Commit()
	})
}

// CountInvoices needs the ledger's connection for a moment.
func (s *Store) CountInvoices(ctx context.Context, customer string) (int, error) {
	return inSpan(ctx, "SELECT invoices", func(ctx context.Context) (int, error) {
		var invoices int
		row := s.ledger.QueryRowContext(ctx, `SELECT count(*) FROM orders WHERE customer = $1`, customer)
		err := row.Scan(&invoices)
		return invoices, err
	})
}

// CloseLedger keeps the ledger's connection busy for the given duration.
func (s *Store) CloseLedger(ctx context.Context, busy time.Duration) error {
	_, err := inSpan(ctx, "SELECT ledger", func(ctx context.Context) (struct{}, error) {
		_, err := s.ledger.ExecContext(ctx, `SELECT pg_sleep($1)`, busy.Seconds())
		return struct{}{}, err
	})
	return err
}

func queryProducts(ctx context.Context, db *sql.DB, query string, args ...any) ([]Product, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var products []Product
	for rows.Next() {
		var p Product
		if err := rows.Scan(&p.ID, &p.Name, &p.PriceCents); err != nil {
			return nil, err
		}
		products = append(products, p)
	}
	return products, rows.Err()
}

func notFound(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

func inSpan[T any](ctx context.Context, name string, call func(context.Context) (T, error)) (T, error) {
	ctx, span := tracer.Start(ctx, name,
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.DBSystemNamePostgreSQL))
	defer span.End()
	value, err := call(ctx)
	if err != nil {
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
	}
	return value, err
}
