// Package apply brings objects that the operator makes to what they should be, by
// server-side apply under the operator's name: fields that it names are its own
// and put back when somebody changes them, all others are left alone.
//
// An object that is so already costs no call: its managed fields say which fields
// are the operator's, so that a look at the object, from a cache, tells whether an
// apply would change anything. The server's defaults do not matter for it, for
// they are in no managed field of the operator's.
//
// It never takes an object that somebody else made; that is [ErrForeign].
package apply
