// The bank with axios, in Node: `node caller.mjs http://127.0.0.1:5000 PIN PIN`, after `npm install`.
// The pins are what `flask --app examples.bank sealed pins` prints, and `make demo`.
import axios from "axios";
import { connect } from "flask-sealed";
import { sealedAdapter } from "flask-sealed/axios";

const [baseURL, ...pins] = process.argv.slice(2);
const api = await connect(baseURL, { audience: "quayside-bank", pins });
const http = axios.create({ baseURL, adapter: sealedAdapter(api) });

const { data: login } = await http.post("/api/login", { customer: "grace", password: "nanoseconds" });
http.defaults.headers.common.Authorization = `Bearer ${login.accessToken}`;

const order = { from: "40-2001", to: "40-1001", amount: 1 };
const { data: done } = await http.post("/api/transfers", order);
console.log(`Transfer ${done.id}; ${done.balance} cents are left.`);

const error = await http.post("/api/transfers", { ...order, to: "40-9999" }).catch((refused) => refused);
console.log(error.response.status, error.response.data.error);

const params = { account: "40-2001" };
const { data: statement } = await http.get("/api/statement", { params, fetchOptions: { sealQuery: true } });
process.stdout.write(statement);
