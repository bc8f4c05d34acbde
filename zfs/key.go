package zfs

import "context"

// Key is what zfs tells of the key that a dataset is encrypted with (zfsprops(7), "Encryption").
type Key struct {
	Root     string // encryptionroot: the dataset whose key it is; "" is not encrypted, or by a tool that knows no encryption
	Loaded   bool   // keystatus is available
	Location string // keylocation, of the root alone: prompt, file:///path, https://...; none for all others
}

// keyColumns are read only where the tool can load keys: zfs-fuse knows none of them, and a refusal would
// cost a process.
var keyColumns = []string{"encryptionroot", "keystatus", "keylocation"}

func keyOf(values map[string]Value) Key {
	return Key{
		Root:     values["encryptionroot"].Value,
		Loaded:   values["keystatus"].Value == "available",
		Location: values["keylocation"].Value,
	}
}

// LoadKey loads the key of an encryption root from its keylocation (zfs-load-key(8)). Nothing is mounted by
// that. With keylocation=prompt it fails: there is nobody to type. ErrExists: somebody has loaded it.
func (c *Client) LoadKey(ctx context.Context, root string) error {
	if err := ValidDataset(root); err != nil {
		return err
	}
	return c.change(ctx, root, "zfs", "load-key", root)
}
