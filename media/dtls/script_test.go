package dtls

import (
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"testing"

	"github.com/pion/dtls/v3/pkg/crypto/ciphersuite"
	"github.com/pion/dtls/v3/pkg/crypto/prf"
	"github.com/pion/dtls/v3/pkg/protocol"
	"github.com/pion/dtls/v3/pkg/protocol/recordlayer"
)

// hello says what a scripted ClientHello offers; the zero value of a field leaves the
// extension out.
type hello struct {
	suites   []uint16
	groups   []uint16
	profiles []uint16
	noEMS    bool
	dtls13   bool // supported_versions, GREASE and a post-quantum key share, as browsers do
}

// goodHello is what a plain client offers.
var goodHello = hello{
	suites:   []uint16{0xc02b}, // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
	groups:   []uint16{0x0017}, // secp256r1
	profiles: []uint16{0x0007, 0x0001},
}

// body returns the ClientHello's body (RFC 6347 section 4.2.1).
func (h hello) body(random []byte) []byte {
	b := []byte{0xfe, 0xfd}
	b = append(b, random...)
	b = append(b, 0, 0) // no session id, no cookie
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(h.suites)))
	b = appendUint16s(b, h.suites)
	b = append(b, 1, 0) // null compression
	return appendVector(b, h.extensions())
}

func (h hello) extensions() []byte {
	var x []byte
	extend := func(id uint16, body []byte) {
		x = appendVector(binary.BigEndian.AppendUint16(x, id), body)
	}
	if h.dtls13 {
		extend(0x2a2a, nil) // GREASE (RFC 8701)
	}
	if h.groups != nil {
		groups := h.groups
		if h.dtls13 {
			groups = append([]uint16{0x3a3a, 0x11ec}, groups...) // GREASE, X25519MLKEM768
		}
		extend(10, appendVector(nil, appendUint16s(nil, groups)))
		extend(11, []byte{1, 0})
	}
	extend(13, appendVector(nil, appendUint16s(nil, []uint16{0x0403, 0x0804, 0x0401})))
	if h.profiles != nil {
		extend(14, append(appendVector(nil, appendUint16s(nil, h.profiles)), 0))
	}
	if !h.noEMS {
		extend(23, nil)
	}
	extend(0xff01, []byte{0})
	if h.dtls13 {
		extend(43, []byte{4, 0xfe, 0xfc, 0xfe, 0xfd})
		share := appendVector([]byte{0x11, 0xec}, make([]byte, 1216))
		share = appendVector(append(share, 0x00, 0x1d), make([]byte, 32))
		extend(51, appendVector(nil, share))
	}
	return x
}

func appendUint16s(b []byte, vs []uint16) []byte {
	for _, v := range vs {
		b = binary.BigEndian.AppendUint16(b, v)
	}
	return b
}

// appendVector appends body behind its length in two bytes.
func appendVector(b, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(body))), body...)
}

// appendVector24 does so in three bytes.
func appendVector24(b, body []byte) []byte {
	return append(append(b, byte(len(body)>>16), byte(len(body)>>8), byte(len(body))), body...)
}

// message frames a whole handshake message.
func message(messageType byte, seq uint16, body []byte) []byte {
	return fragment(messageType, seq, len(body), 0, body)
}

// fragment frames a part of one.
func fragment(messageType byte, seq uint16, length, offset int, part []byte) []byte {
	b := []byte{messageType, byte(length >> 16), byte(length >> 8), byte(length)}
	b = binary.BigEndian.AppendUint16(b, seq)
	b = append(b, byte(offset>>16), byte(offset>>8), byte(offset))
	return appendVector24(b, part)
}

// rawRecord frames a record.
func rawRecord(contentType byte, epoch uint16, seq uint64, body []byte) []byte {
	b := []byte{contentType, 0xfe, 0xfd}
	b = binary.BigEndian.AppendUint16(b, epoch)
	b = append(b, byte(seq>>40), byte(seq>>32), byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq))
	return appendVector(b, body)
}

// script is a client written out step by step, so that each step can be left out, doubled
// or falsified. It speaks one cipher suite and one curve.
type script struct {
	t        testing.TB
	endpoint *Endpoint
	sink     *recorder
	in       chan []byte // datagrams of the server

	random      [32]byte
	key         *ecdh.PrivateKey
	certificate tls.Certificate
	transcript  []byte
	seq         [3]uint64 // next record, by epoch

	serverRandom []byte
	serverKey    []byte
	master       []byte
	cipher       *ciphersuite.GCM
}

func newScript(t testing.TB, s *Server) *script {
	t.Helper()
	c := &script{t: t, sink: newRecorder(), in: make(chan []byte, 256), certificate: clientCertificate()}
	c.sink.deliver = func(b []byte) {
		select {
		case c.in <- b:
		default: // a test that floods does not read
		}
	}
	if _, err := rand.Read(c.random[:]); err != nil {
		t.Fatal(err)
	}
	var err error
	if c.key, err = ecdh.P256().GenerateKey(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if c.endpoint, err = s.Start(1, somewhere, c.sink); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.endpoint.Close)
	return c
}

// record frames body as the next plaintext record.
func (c *script) record(contentType byte, body []byte) []byte {
	c.seq[0]++
	return rawRecord(contentType, 0, c.seq[0]-1, body)
}

// sealed frames body as the next encrypted record.
func (c *script) sealed(contentType byte, body []byte) []byte {
	c.t.Helper()
	raw := rawRecord(contentType, 1, c.seq[1], body)
	header := recordlayer.Header{
		ContentType: protocol.ContentType(contentType), Version: protocol.Version1_2,
		Epoch: 1, SequenceNumber: c.seq[1], ContentLen: uint16(len(body)),
	}
	c.seq[1]++
	out, err := c.cipher.Encrypt(&recordlayer.RecordLayer{Header: header}, raw)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// say sends a handshake message, and remembers it in the transcript.
func (c *script) say(messageType byte, seq uint16, body []byte) {
	m := message(messageType, seq, body)
	c.transcript = append(c.transcript, m...)
	c.endpoint.Feed(c.record(typeHandshake, m))
}

// begin sends the ClientHello and reads the server's flight.
func (c *script) begin(h hello) {
	c.t.Helper()
	c.say(msgClientHello, 0, h.body(c.random[:]))
	c.readFlight()
}

// readFlight takes what it needs from the server's first flight, which comes whole: its
// messages are smaller than its datagrams.
func (c *script) readFlight() {
	c.t.Helper()
	const serverHello, serverKeyExchange, serverHelloDone = 2, 12, 14
	for {
		datagram := wait(c.t, c.in, "server flight")
		for len(datagram) > 0 {
			n := recordHeader + int(binary.BigEndian.Uint16(datagram[11:]))
			m := datagram[recordHeader:n]
			if datagram[0] != typeHandshake {
				c.t.Fatalf("the server sent a record of type %d: %x", datagram[0], m)
			}
			datagram = datagram[n:]
			c.transcript = append(c.transcript, m...)
			body := m[messageHeader:]
			switch m[0] {
			case serverHello:
				c.serverRandom = body[2:34]
			case serverKeyExchange: // named_curve, secp256r1, point
				c.serverKey = body[4 : 4+int(body[3])]
			case serverHelloDone:
				return
			}
		}
	}
}

// sayCertificate sends the client's certificate, or an empty list.
func (c *script) sayCertificate(seq uint16, ders ...[]byte) {
	var list []byte
	for _, der := range ders {
		list = appendVector24(list, der)
	}
	c.say(msgCertificate, seq, appendVector24(nil, list))
}

// sayKeyExchange sends ClientKeyExchange and derives all secrets.
func (c *script) sayKeyExchange(seq uint16) {
	c.t.Helper()
	point := c.key.PublicKey().Bytes()
	c.say(msgClientKeyExchange, seq, append([]byte{byte(len(point))}, point...))
	server, err := ecdh.P256().NewPublicKey(c.serverKey)
	if err != nil {
		c.t.Fatal(err)
	}
	shared, err := c.key.ECDH(server)
	if err != nil {
		c.t.Fatal(err)
	}
	session := sha256.Sum256(c.transcript)
	if c.master, err = prf.ExtendedMasterSecret(shared, session[:], sha256.New); err != nil {
		c.t.Fatal(err)
	}
	keys, err := prf.GenerateEncryptionKeys(c.master, c.random[:], c.serverRandom, 0, 16, 4, sha256.New)
	if err != nil {
		c.t.Fatal(err)
	}
	c.cipher, err = ciphersuite.NewGCM(keys.ClientWriteKey, keys.ClientWriteIV, keys.ServerWriteKey, keys.ServerWriteIV)
	if err != nil {
		c.t.Fatal(err)
	}
}

// sayVerify proves possession of key.
func (c *script) sayVerify(seq uint16, key *ecdsa.PrivateKey) {
	c.t.Helper()
	digest := sha256.Sum256(c.transcript)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		c.t.Fatal(err)
	}
	c.say(msgCertificateVerify, seq, appendVector([]byte{4, 3}, signature)) // SHA-256, ECDSA
}

// sayFinished sends ChangeCipherSpec and Finished.
func (c *script) sayFinished(seq uint16) {
	c.t.Helper()
	c.endpoint.Feed(c.record(typeChangeCipherSpec, []byte{1}))
	c.endpoint.Feed(c.sealed(typeHandshake, c.finished(seq)))
}

// finished returns the Finished message.
func (c *script) finished(seq uint16) []byte {
	c.t.Helper()
	data, err := prf.VerifyDataClient(c.master, c.transcript, sha256.New)
	if err != nil {
		c.t.Fatal(err)
	}
	return message(20, seq, data)
}

// privateKey is the key of the client's certificate.
func (c *script) privateKey() *ecdsa.PrivateKey {
	return c.certificate.PrivateKey.(*ecdsa.PrivateKey)
}

// complete does a whole handshake as it should be.
func (c *script) complete() Result {
	c.t.Helper()
	c.begin(goodHello)
	c.sayCertificate(1, c.certificate.Certificate[0])
	c.sayKeyExchange(2)
	c.sayVerify(3, c.privateKey())
	c.sayFinished(4)
	o := wait(c.t, c.sink.done, "Done")
	if o.err != nil {
		c.t.Fatalf("a correct handshake failed: %v", o.err)
	}
	return o.result
}

// fails waits for the handshake's end and wants an error.
func (c *script) fails() error {
	c.t.Helper()
	o := wait(c.t, c.sink.done, "Done")
	if o.err == nil {
		c.t.Fatal("the handshake succeeded")
	}
	if o.result.PeerCertificate != nil || o.result.Keys.LocalKey != nil {
		c.t.Fatal("a failed handshake came with keys")
	}
	return o.err
}
