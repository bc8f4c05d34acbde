//go:build walprogram

package main

import _ "embed"

//go:embed walprogram/zreconcile-wal
var walProgram string
