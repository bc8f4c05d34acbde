package postgres

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// PrimaryErrorKind says what kept us from the primary, so that what to do about
// it can be said.
type PrimaryErrorKind string

// What may keep us from it.
const (
	Unreachable        PrimaryErrorKind = "unreachable"          // no answer, refused, unknown host
	NotReady           PrimaryErrorKind = "not ready"            // starting, stopping, or out of connections
	AuthFailed         PrimaryErrorKind = "login failed"         // wrong password, or no such role
	NoPgHba            PrimaryErrorKind = "no pg_hba.conf entry" // for replication from this host
	NoReplicationRight PrimaryErrorKind = "no replication right"
	SSLRefused         PrimaryErrorKind = "SSL refused" // it offers none, or shows a wrong certificate
	OtherFault         PrimaryErrorKind = "failed"      // anything else, in the server's words
)

var primaryMend = map[PrimaryErrorKind]string{
	Unreachable:        "check standby.primary.host and port, the network between, and that the primary runs",
	NotReady:           "try again later, or raise max_wal_senders and max_connections there",
	AuthFailed:         "check standby.primary.user and the password of passwordFrom",
	NoPgHba:            "on the primary, allow it in pg_hba.conf (a line for the database \"replication\") or in the service's whitelist, and reload",
	NoReplicationRight: "on the primary: ALTER ROLE ... REPLICATION",
	SSLRefused:         "check standby.primary.sslmode and sslRootCert",
	OtherFault:         "see the primary's log",
}

// A PrimaryError is a primary that does not let us in. It never holds the
// password.
type PrimaryError struct {
	Kind PrimaryErrorKind
	Err  error // in the server's or the network's own words
}

func (e *PrimaryError) Error() string {
	return fmt.Sprintf("the primary: %s: %v; %s", e.Kind, e.Err, primaryMend[e.Kind])
}

// Mend says what to do about it.
func (e *PrimaryError) Mend() string { return primaryMend[e.Kind] }

func (e *PrimaryError) Unwrap() error { return e.Err }

func primaryError(err error) error {
	if err == nil {
		return nil
	}
	reason := err
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		reason = connect.Unwrap() // its frame repeats user and database
	}
	return &PrimaryError{Kind: primaryErrorKind(err), Err: reason}
}

func primaryErrorKind(err error) PrimaryErrorKind {
	if pgErr := serverError(err); pgErr != nil {
		return serverErrorKind(pgErr)
	}
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var verification *tls.CertificateVerificationError
	switch {
	case errors.As(err, &hostname), errors.As(err, &authority), errors.As(err, &verification),
		strings.Contains(err.Error(), "server refused TLS connection"):
		return SSLRefused
	}
	return Unreachable
}

// serverErrorKind reads the SQLSTATE (PostgreSQL documentation, "PostgreSQL
// Error Codes") and, where one code means several things, the words.
func serverErrorKind(e *pgconn.PgError) PrimaryErrorKind {
	switch {
	case e.Code == "28P01":
		return AuthFailed
	case e.Code == "28000" && strings.Contains(e.Message, "pg_hba.conf"):
		return NoPgHba // "no pg_hba.conf entry for" and "pg_hba.conf rejects"
	case e.Code == "42501", e.Code == "28000" && strings.Contains(e.Message, "replication"):
		return NoReplicationRight
	case e.Code == "28000":
		return AuthFailed
	case strings.HasPrefix(e.Code, "57P"), strings.HasPrefix(e.Code, "53"):
		return NotReady
	}
	return OtherFault
}

// serverError finds the server's own error in err. Where several hosts or ways
// of connecting were tried, it is the first that a server answered.
func serverError(err error) *pgconn.PgError {
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		return pgErr
	}
	return nil
}
