package postgres

import "context"

// TablespaceLocations asks by ordinary SQL where the tablespaces of the primary
// are, by OID: their sizes are not told to everybody, their places are. Errors
// are of type *PrimaryError.
func (p Primary) TablespaceLocations(ctx context.Context) (map[string]string, error) {
	conn, err := p.login(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(conn)
	rows, err := conn.Query(ctx, "select oid::text, pg_tablespace_location(oid) from pg_tablespace where pg_tablespace_location(oid) <> ''")
	if err != nil {
		return nil, primaryError(err)
	}
	defer rows.Close()
	found := map[string]string{}
	for rows.Next() {
		var oid, location string
		if err := rows.Scan(&oid, &location); err != nil {
			return nil, primaryError(err)
		}
		found[oid] = location
	}
	if err := rows.Err(); err != nil {
		return nil, primaryError(err)
	}
	return found, nil
}
