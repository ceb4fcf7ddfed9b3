#!/usr/bin/env bash
# make-tls.sh FOLDER: a CA and a certificate of the database's, for compose.tls.yaml. In earnest, take those of your own CA.
set -euo pipefail
FOLDER=${1:?error: no folder is named; remedy: docker/make-tls.sh docker/tls}
command -v openssl > /dev/null || { printf 'error: openssl is not here\nremedy: apt-get install openssl\n' >&2; exit 1; }
mkdir -p "$FOLDER"
chmod 700 "$FOLDER"
cd "$FOLDER"
new_key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
if [ ! -s ca.crt ]; then
    new_key ca.key
    openssl req -x509 -new -key ca.key -days 3650 -subj '/CN=IoT KPI stack' -addext 'basicConstraints=critical,CA:TRUE' -addext 'keyUsage=critical,keyCertSign,cRLSign' -out ca.crt
fi
# An earlier one may not be written over: it is closed, and a running database may hold it.
rm -f server.key server.crt
new_key server.key
openssl req -new -key server.key -subj '/CN=database' -out server.csr
printf 'subjectAltName=DNS:database\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' > server.ext
openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 397 -extfile server.ext -out server.crt 2> /dev/null
rm -f server.csr server.ext
chmod 400 ca.key
chmod 444 ca.crt server.crt server.key
printf 'certificates are in %s\n' "$PWD"
