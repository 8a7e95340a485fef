// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity 0.8.30;

import {
    IX402ExactPermit2Proxy,
    IX402Permit2Proxy,
    IX402UptoPermit2Proxy
} from "../../../contracts/interfaces/IX402Permit2Proxies.sol";
import {Salt, X402ExactPermit2Proxy, X402UptoPermit2Proxy, newSalt} from "../support/Contracts.sol";
import {Permit2Code} from "../support/Permit2Code.sol";
import {IERC20} from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import {Test, Vm} from "forge-std/Test.sol";

/// @notice What all tests of the x402 proxies stand on: the real Permit2, Salt, a payer who approved Permit2, and the
/// typed data written out a second time, so that the contracts' hashes are not checked against themselves.
abstract contract X402Test is Test {
    uint256 internal constant NOW = 1_800_000_000;
    uint256 internal constant FUNDS = 100 ether;
    uint256 internal constant AMOUNT = 0.0015 ether;

    bytes32 internal constant TOKEN_PERMISSIONS_TYPEHASH = keccak256("TokenPermissions(address token,uint256 amount)");

    Salt internal token;
    address internal permit2;
    Vm.Wallet internal payer;
    address internal payee = makeAddr("payee");
    address internal facilitator = makeAddr("facilitator");

    /// @dev Of both kinds; the facilitator and an amount below the permitted one belong to `upto` alone.
    struct Payment {
        address token;
        uint256 permitted;
        uint256 amount;
        uint256 nonce;
        uint256 deadline;
        address owner;
        address to;
        address facilitator;
        uint256 validAfter;
    }

    function setUp() public virtual {
        vm.warp(NOW);
        permit2 = Permit2Code.deploy();
        payer = vm.createWallet("payer");
        token = newSalt(payer.addr, FUNDS);
        vm.prank(payer.addr);
        token.approve(permit2, type(uint256).max);
    }

    function paymentOf(address asset, uint256 amount) internal view returns (Payment memory) {
        return Payment({
            token: asset,
            permitted: amount,
            amount: amount,
            nonce: uint256(keccak256("nonce")),
            deadline: NOW + 60,
            owner: payer.addr,
            to: payee,
            facilitator: facilitator,
            validAfter: NOW
        });
    }

    function permitOf(Payment memory payment) internal pure returns (IX402Permit2Proxy.PermitTransferFrom memory) {
        return IX402Permit2Proxy.PermitTransferFrom({
            permitted: IX402Permit2Proxy.TokenPermissions({token: payment.token, amount: payment.permitted}),
            nonce: payment.nonce,
            deadline: payment.deadline
        });
    }

    function exactWitnessOf(Payment memory payment) internal pure returns (IX402ExactPermit2Proxy.Witness memory) {
        return IX402ExactPermit2Proxy.Witness({to: payment.to, validAfter: payment.validAfter});
    }

    function uptoWitnessOf(Payment memory payment) internal pure returns (IX402UptoPermit2Proxy.Witness memory) {
        return IX402UptoPermit2Proxy.Witness({
            to: payment.to, facilitator: payment.facilitator, validAfter: payment.validAfter
        });
    }

    function exactDigestOf(Payment memory payment, address spender) internal view returns (bytes32) {
        return digestOf(
            payment,
            spender,
            "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,uint256 validAfter)",
            keccak256(abi.encode(keccak256("Witness(address to,uint256 validAfter)"), payment.to, payment.validAfter))
        );
    }

    function uptoDigestOf(Payment memory payment, address spender) internal view returns (bytes32) {
        return digestOf(
            payment,
            spender,
            "PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)TokenPermissions(address token,uint256 amount)Witness(address to,address facilitator,uint256 validAfter)",
            keccak256(
                abi.encode(
                    keccak256("Witness(address to,address facilitator,uint256 validAfter)"),
                    payment.to,
                    payment.facilitator,
                    payment.validAfter
                )
            )
        );
    }

    function digestOf(Payment memory payment, address spender, string memory signedType, bytes32 witnessHash)
        internal
        view
        returns (bytes32)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256(bytes(signedType)),
                keccak256(abi.encode(TOKEN_PERMISSIONS_TYPEHASH, payment.token, payment.permitted)),
                spender,
                payment.nonce,
                payment.deadline,
                witnessHash
            )
        );
        return keccak256(abi.encodePacked(hex"1901", permit2Domain(), structHash));
    }

    function permit2Domain() internal view returns (bytes32) {
        return keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,uint256 chainId,address verifyingContract)"),
                keccak256("Permit2"),
                block.chainid,
                permit2
            )
        );
    }

    /// @dev Signs an EIP-2612 permit of Salt for Permit2.
    function permit2612Of(uint256 value, uint256 deadline)
        internal
        view
        returns (IX402Permit2Proxy.EIP2612Permit memory)
    {
        return permit2612Of(payer.addr, payer.privateKey, value, deadline);
    }

    function permit2612Of(address owner, uint256 privateKey, uint256 value, uint256 deadline)
        internal
        view
        returns (IX402Permit2Proxy.EIP2612Permit memory permit)
    {
        bytes32 structHash = keccak256(
            abi.encode(
                keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"),
                owner,
                permit2,
                value,
                token.nonces(owner),
                deadline
            )
        );
        permit.value = value;
        permit.deadline = deadline;
        (permit.v, permit.r, permit.s) =
            vm.sign(privateKey, keccak256(abi.encodePacked(hex"1901", token.DOMAIN_SEPARATOR(), structHash)));
    }

    function packed(uint256 privateKey, bytes32 digest) internal pure returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(privateKey, digest);
        return abi.encodePacked(r, s, v);
    }
}
