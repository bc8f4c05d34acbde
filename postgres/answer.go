package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// answerTimeout bounds one question of a person's own, by the server's clock.
const answerTimeout = time.Hour

// Answer runs one statement, read only, in a database and returns the first
// column of its only row as text. words say why there is no such thing; the
// error is for a question that ctx ended.
func (c *Cluster) Answer(ctx context.Context, database, sql string) (answer, words string, err error) {
	k := &checkup{cluster: c, database: database}
	defer k.close()
	if words, err := k.exec(ctx, fmt.Sprintf("set statement_timeout = %d", answerTimeout.Milliseconds())); err != nil || words != "" {
		return "", words, err
	}
	var rows [][][]byte
	var columns int
	words, err = k.asked(ctx, func(conn *pgx.Conn) error {
		reader := conn.PgConn().ExecParams(ctx, sql, nil, nil, nil, nil) // all values as text
		columns = len(reader.FieldDescriptions())
		result := reader.Read()
		rows = result.Rows
		return result.Err
	})
	if err != nil || words != "" {
		return "", words, err
	}
	switch {
	case columns == 0:
		return "", "it is no query: it gives no rows", nil
	case len(rows) != 1:
		return "", fmt.Sprintf("it gives %d rows, not one", len(rows)), nil
	case rows[0][0] == nil:
		return "", "it gives null", nil
	}
	return string(rows[0][0]), "", nil
}
