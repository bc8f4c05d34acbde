//go:build !walprogram

package main

// walProgram is zreconcile-wal, where the build put it into this program (build.sh);
// otherwise PostgreSQL calls a copy of this one.
const walProgram = ""
