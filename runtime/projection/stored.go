package projection

import "context"

// StoredSpec gives the Definition.Spec of the version that serves, nil when the
// store does not know the projection.
func (m *Manager) StoredSpec(ctx context.Context, name string) ([]byte, error) {
	r, err := readRecord(ctx, m.env.DB.Reader, name, "")
	if err != nil || r == nil {
		return nil, err
	}
	v := r.find(r.serving)
	if v == nil {
		return nil, nil
	}
	return []byte(v.spec), nil
}
