package main

// tone is how good a piece of a status is; it is also a class of the page.
type tone string

// The tones. What is plain is neither good nor bad.
const (
	tonePlain tone = ""
	toneGood  tone = "good"
	toneWarn  tone = "warn"
	toneBad   tone = "bad"
)

// toned paints text by its tone.
func (v view) toned(t tone, text string) string {
	switch t {
	case toneGood:
		return v.good(text)
	case toneWarn:
		return v.warn(text)
	case toneBad:
		return v.bad(text)
	default:
		return text
	}
}

// words are a piece of text and its tone.
type words struct {
	Text string
	Tone tone
}

// fact is one line about a thing, for the terminal and for the page alike. Its
// texts are printable.
type fact struct {
	Name    string // "" where the value speaks for itself
	Value   string
	Tone    tone
	Command bool   // the value is to be typed as it stands
	Hint    string // how to use it
}

// factWidth is the room of a name on a terminal.
const factWidth = 10

// showFacts shows facts below each other.
func showFacts(v view, indent string, facts []fact) {
	for _, f := range facts {
		if f.Name == "" {
			v.printf("%s%s\n", indent, v.toned(f.Tone, f.Value))
		} else {
			v.printf("%s%-*s %s\n", indent, factWidth, f.Name, v.toned(f.Tone, f.Value))
		}
		if f.Hint != "" {
			v.printf("%s%*s %s\n", indent, factWidth, "", v.faint(f.Hint))
		}
	}
}
