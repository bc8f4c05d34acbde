package postgres

import "context"

// Libraries lists, by database, the libraries that its functions are in, as the
// function's definition names them (catalog pg_proc, column probin). What could
// not be asked is a finding; the error is for a check that ctx ended.
func (c *Cluster) Libraries(ctx context.Context) (byDatabase map[string][]string, found []Finding, err error) {
	byDatabase = map[string][]string{}
	found, err = c.eachDatabase(ctx, func(ctx context.Context, k *checkup) ([]Finding, error) {
		list, words, err := k.texts(ctx, "select distinct probin from pg_proc where probin is not null order by 1")
		byDatabase[k.database] = list
		return asFindings(k.finding("libraries", words)), err
	})
	return byDatabase, found, err
}
