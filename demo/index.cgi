#!/bin/busybox sh
# busybox httpd runs this for "/", as /www holds no index.html.
printf 'Content-Type: text/html; charset=utf-8\r\n\r\n'
printf '<!doctype html><title>paas demo</title>\n'
printf '<h1>%s from the paas demo, version %s</h1>\n' "${GREETING:-Hello}" "$VERSION"
