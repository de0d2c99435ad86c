package certificate

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/leftfold/leftfold/api/identity"
	"github.com/leftfold/leftfold/api/v1alpha1"
)

// SecretName is the authority's Secret in the operator's namespace.
const SecretName = "leftfold-ca"

// lookEvery is between two looks at what time brings about. Its steps are days.
const lookEvery = time.Hour

// Config is what a Keeper needs.
type Config struct {
	// Client writes Secrets, and lists Runtimes. Required.
	Client client.Client
	// Reader reads Secrets past any cache. Required.
	Reader client.Reader
	// Namespace of the operator. Required.
	Namespace string
	// Holder gets the operator's own certificate. Required.
	Holder *identity.Holder
	// Now is the clock. Default: time.Now.
	Now func() time.Time
	Log logr.Logger
}

// Keeper keeps the authority. It is for the leader alone: only one process may
// turn the authority over. Its methods are safe for concurrent use.
type Keeper struct {
	config  Config
	changes chan event.GenericEvent

	mu sync.Mutex
	// authorities is nil until they were read or made.
	authorities *authorities
	// version of the Secret that they were read from.
	version string
	// own is the operator's certificate.
	own Leaf
}

// NewKeeper makes a Keeper that has read nothing yet.
func NewKeeper(config Config) *Keeper {
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Keeper{config: config, changes: make(chan event.GenericEvent, 1)}
}

// NeedLeaderElection tells the manager that only the leader starts a Keeper.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Changes tells when whom to trust has changed, so that the Secrets of all
// Runtimes are to be looked at. It is for one reader.
func (k *Keeper) Changes() <-chan event.GenericEvent { return k.changes }

// Start gives the operator its certificate and follows the clock until ctx ends.
func (k *Keeper) Start(ctx context.Context) error {
	pause := time.NewTicker(lookEvery)
	defer pause.Stop()
	// Soon again after a failure: without a certificate no pod can be reached.
	const again = time.Second
	for {
		next := pause.C
		if err := k.Look(ctx); err != nil && ctx.Err() == nil {
			k.config.Log.Error(err, "the certificates could not be looked after; trying again", "after", again)
			next = time.After(again)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-next:
		}
	}
}

// Look does what is due: it makes the authority when there is none, turns it over,
// and renews the operator's own certificate.
func (k *Keeper) Look(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(ctx); err != nil {
		return err
	}
	everywhere, err := k.trustedEverywhere(ctx)
	if err != nil {
		return err
	}
	to, err := k.authorities.step(k.config.Now(), everywhere)
	if err != nil {
		return err
	}
	if to != k.authorities {
		if err := k.save(ctx, to); err != nil {
			return err
		}
		k.config.Log.Info("the authority of certificates changed", "successor", to.next != nil, "predecessor", to.previous != nil)
	}
	return k.renewOwn()
}

// Leaf gives the certificate of a Runtime's pods, which is the present one, if it
// will do.
func (k *Keeper) Leaf(ctx context.Context, namespace, runtime string, present map[string][]byte) (Leaf, error) {
	a, err := k.current(ctx)
	if err != nil {
		return Leaf{}, err
	}
	return a.leaf(identity.RuntimeName(namespace, runtime), present, k.config.Now())
}

// Digest gives a short text that changes when the one it is of does, and tells
// nobody anything of it.
func (k *Keeper) Digest(ctx context.Context, text []byte) (string, error) {
	a, err := k.current(ctx)
	if err != nil {
		return "", err
	}
	return a.digest(text), nil
}

func (k *Keeper) current(ctx context.Context) (*authorities, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.authorities == nil {
		if err := k.load(ctx); err != nil {
			return nil, err
		}
	}
	return k.authorities, nil
}

func (k *Keeper) renewOwn() error {
	now := k.config.Now()
	own, err := k.authorities.leaf(identity.OperatorName, k.own.Data, now)
	if err != nil {
		return err
	}
	k.own = own
	return k.config.Holder.Set(own.Data[identity.CertificateFile], own.Data[identity.KeyFile], own.Data[identity.AuthoritiesFile])
}

// load reads the Secret, whose content is what counts: an administrator may have
// put another authority there. One that is gone is written again from memory.
func (k *Keeper) load(ctx context.Context) error {
	var secret corev1.Secret
	switch err := k.config.Reader.Get(ctx, k.key(), &secret); {
	case apierrors.IsNotFound(err):
		to := k.authorities
		if to == nil {
			if to, err = newAuthorities(k.config.Now()); err != nil {
				return err
			}
		}
		k.version = ""
		return k.save(ctx, to)
	case err != nil:
		return fmt.Errorf("read Secret %s: %w", k.key(), err)
	case k.authorities != nil && secret.ResourceVersion == k.version:
		return nil
	}
	a, err := parseAuthorities(secret.Data)
	if err != nil {
		return fmt.Errorf("use Secret %s, which somebody has to mend, or delete to have a new authority made: %w", k.key(), err)
	}
	k.take(a, secret.ResourceVersion)
	return nil
}

// save writes the Secret, if it is still the one that was read.
func (k *Keeper) save(ctx context.Context, to *authorities) error {
	data, err := to.encode()
	if err != nil {
		return err
	}
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: k.config.Namespace, Name: SecretName, ResourceVersion: k.version,
			Labels: map[string]string{v1alpha1.LabelName: v1alpha1.NameLeftfold, v1alpha1.LabelManagedBy: v1alpha1.FieldManager},
		},
		Type: corev1.SecretTypeOpaque,
		Data: data,
	}
	owner := client.FieldOwner(v1alpha1.FieldManager)
	if k.version == "" {
		err = k.config.Client.Create(ctx, secret, owner)
	} else {
		err = k.config.Client.Update(ctx, secret, owner)
	}
	if err != nil {
		return fmt.Errorf("write Secret %s: %w", k.key(), err)
	}
	k.take(to, secret.ResourceVersion)
	return nil
}

func (k *Keeper) take(a *authorities, version string) {
	k.authorities, k.version = a, version
	select {
	case k.changes <- event.GenericEvent{Object: &metav1.PartialObjectMetadata{}}:
	default: // the reader has yet to look anyway
	}
}

// trustedEverywhere tells whether the Secrets of all Runtimes hold what is trusted
// now. It asks only while there is a successor.
func (k *Keeper) trustedEverywhere(ctx context.Context) (bool, error) {
	if k.authorities.next == nil {
		return false, nil
	}
	var runtimes v1alpha1.RuntimeList
	if err := k.config.Client.List(ctx, &runtimes); err != nil {
		return false, fmt.Errorf("list Runtimes: %w", err)
	}
	for _, r := range runtimes.Items {
		key := client.ObjectKey{Namespace: r.Namespace, Name: v1alpha1.IdentitySecretName(r.Name)}
		var secret corev1.Secret
		switch err := k.config.Reader.Get(ctx, key, &secret); {
		case apierrors.IsNotFound(err):
			continue // it will be made with whom to trust then
		case err != nil:
			return false, fmt.Errorf("read Secret %s: %w", key, err)
		case !k.authorities.trusts(secret.Data):
			return false, nil
		}
	}
	return true, nil
}

func (k *Keeper) key() client.ObjectKey {
	return client.ObjectKey{Namespace: k.config.Namespace, Name: SecretName}
}
