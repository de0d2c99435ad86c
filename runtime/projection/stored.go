package projection

import (
	"context"
	"errors"
	"fmt"

	"github.com/leftfold/leftfold/runtime/eventstore"
)

// Stored is a definition as the store keeps it.
type Stored struct {
	Name string
	// Spec is the Definition.Spec of the definition that was accepted last; its
	// rows may still be being built.
	Spec   []byte
	Source eventstore.Source
}

// Stored lists the projections that the store knows, by name, whether they are
// defined here or not.
func (m *Manager) Stored(ctx context.Context) ([]Stored, error) {
	rows, err := m.env.DB.Reader.QueryContext(ctx, `SELECT name FROM projection ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list the projections: %w", err)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("list the projections: %w", err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("list the projections: %w", err)
	}
	var all []Stored
	for _, name := range names {
		s, err := m.StoredOf(ctx, name)
		if err != nil {
			return nil, err
		}
		if s.Spec != nil {
			all = append(all, s)
		}
	}
	return all, nil
}

// StoredOf gives one projection's stored definition; Spec is nil when the store
// has none.
func (m *Manager) StoredOf(ctx context.Context, name string) (Stored, error) {
	s := Stored{Name: name}
	r, err := readRecord(ctx, m.env.DB.Reader, name, "")
	if err != nil || r == nil {
		return s, err
	}
	if v := r.accepted(); v != nil {
		s.Spec, s.Source = []byte(v.spec), r.source
	}
	return s, nil
}

// storedDefinition compiles what the store keeps.
func (m *Manager) storedDefinition(ctx context.Context, name string) (*Definition, error) {
	s, err := m.StoredOf(ctx, name)
	if err != nil {
		return nil, err
	}
	if s.Spec == nil || m.env.Compile == nil {
		return nil, errors.New("the store has a newer definition, which cannot be read here")
	}
	def, err := m.env.Compile(name, s.Spec)
	def.Source = s.Source
	return &def, err
}
