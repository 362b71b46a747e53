package store

import (
	"context"
	"database/sql"
)

// ProductCount is the number of seeded products; their ids are 1 to ProductCount.
const ProductCount = 500

// schemaLock keeps two shops that start at the same time from creating the tables twice.
const schemaLock = 0x73686f70

const schema = `
CREATE TABLE IF NOT EXISTS products (
	id integer PRIMARY KEY,
	name text NOT NULL,
	price_cents integer NOT NULL,
	stock integer NOT NULL
);
CREATE TABLE IF NOT EXISTS orders (
	id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	customer text NOT NULL,
	product_id integer NOT NULL REFERENCES products (id),
	price_cents integer NOT NULL
);
CREATE INDEX IF NOT EXISTS orders_by_product ON orders (product_id);
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer);`

const seed = `
INSERT INTO products
SELECT i, 'product ' || i, 100 + i * 37 % 9900, 1000000 FROM generate_series(1, $1::integer) AS i
ON CONFLICT DO NOTHING`

func createSchema(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // A no-op after Commit.
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, schemaLock); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, seed, ProductCount); err != nil {
		return err
	}
	return tx.Commit()
}
