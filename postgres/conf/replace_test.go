package conf

import "testing"

func TestReplaceWritesOnlyTheLinesOfASetting(t *testing.T) {
	const have = "# archive_mode = on\nArchive_Mode always # as it was\r\n\ninclude 'archive_mode'\nport=1\narchive_mode = 'it''s'"
	want := "# archive_mode = on\narchive_mode = 'off'  # why\r\n\ninclude 'archive_mode'\nport=1\narchive_mode = 'off'  # why"
	got := string(Replace([]byte(have), []Setting{{Name: "archive_mode", Value: "off", Why: "why"}, {Name: "absent", Value: "1"}}))
	if got != want {
		t.Errorf("got\n%q, want\n%q", got, want)
	}
	if kept := string(Replace([]byte(have), nil)); kept != have {
		t.Errorf("with nothing to replace it became %q", kept)
	}
}
